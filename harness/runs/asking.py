"""What is asked of an engine, whatever it is: a part of a workload, and how often and how fast.

The fields are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import UsageError
from build_engine.files import check_writable
from build_engine.memory import require_address_space
from build_engine.paths import cache_root, require_text
from build_engine.validation import one_of
from harness.dataset.preparation import check_count, prepare
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.loadgen.installed import require_loadgen
from harness.loadgen.settings import Mode
from harness.rules.rounds import DEFAULT, Round, load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import MAX_DURATION_S, Workload, load_workload
from harness.runs.folder import new_folder
from harness.runs.place import require_own_place
from harness.runs.repeats import check_repeats
from harness.runs.run import require_free
from harness.runs.scope import RunScope

if TYPE_CHECKING:
    from build_engine.store.limits import EngineLimits
    from harness.dataset.prepared import Dataset
    from harness.dataset.sources.source import Source
    from harness.progress import Progress

MODES: dict[str, tuple[Mode, ...]] = {
    "performance": ("performance",),
    "accuracy": ("accuracy",),
    "both": ("performance", "accuracy"),
}
_RESULTS = Path("results")
MOST_QPS = 1_000_000  # LoadGen spaces queries by whole nanoseconds
_MAX_QUERIES = 10_000_000  # in a test
MIN_QPS = 0.001  # a query in a quarter of an hour


@dataclass(frozen=True, slots=True)
class Asked:
    """What the names stand for."""

    workload: Workload
    scenario: Scenario
    modes: tuple[Mode, ...]
    round: Round


@dataclass(frozen=True, slots=True)
class AskedModel:
    """What a dataset must fit: the folder of a tokenizer, an engine's sizes, and the positions and
    ids of a model.
    """

    tokenizer: Path
    limits: EngineLimits
    positions: int
    vocab_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What is asked, as a user names it."""

    scenario: str
    """Offline, Server, Interactive or SingleStream."""
    output: Path | None = None
    """The run's folder, which must be new or empty: results/TIME-RECIPE-SCENARIO when left out."""
    workload: str = BUNDLED
    """A workload by its name, or a .yaml file."""
    dataset: str | None = None
    """The official cnn_eval.json, a .jsonl of article/highlights, a folder with a copy of the hub's
    dataset, `cnn_dailymail` to fetch it (the default of an MLPerf workload; needs
    enginebench[hub]), or `newsbrief`.
    """
    mode: str = "both"
    """performance, accuracy, or both."""
    count: int | None = None
    """A short trial over the first COUNT samples, without a minimum duration."""
    qps: float | None = None
    """Queries a second for Server and Interactive (half of the warm-up's rate when left out); in
    Offline the samples a second that LoadGen shall expect.
    """
    duration_s: float | None = None
    """Minimum seconds of a performance test, instead of the workload's."""
    repeat: int = 1
    """Times that the performance test is run, for its median and spread. The first is the run's
    result.
    """
    round: str = DEFAULT
    """The MLPerf round whose LoadGen and seeds the run must have."""

    def asked(self, workload_settings: tuple[str, ...]) -> Asked:
        """The things behind the names. Raises UsageErrors for what does not go together, and
        EnvironmentFault for a LoadGen of another round.
        """
        chosen = load_round(self.round)
        workload = load_workload(self.workload, chosen).with_settings(workload_settings)
        scenario = one_of("scenario", self.scenario, tuple(Scenario))
        workload.rules_of(scenario)
        require_loadgen(chosen)
        require_address_space()
        mode = one_of("mode", self.mode, tuple(MODES))
        self._check_numbers(scenario, mode)
        self._check_queries(workload)
        return Asked(workload, scenario, MODES[mode], chosen)

    def check_place(self) -> None:
        """Raise RunExists, OutputError or UsageError for a place that no run can be written to."""
        if self.output is None:
            check_writable(_RESULTS)
        else:
            check_output(self.output, self.dataset)

    def dataset_for(
        self, asked: Asked, source: Source, model: AskedModel, progress: Progress
    ) -> Dataset:
        """The samples, prepared. Raises DatasetError for those that the model does not take."""
        count = self.count
        if count is None and source.path is None:
            count = asked.workload.num_samples
        dataset = prepare(asked.workload, source, model.tokenizer, cache_root(), count, progress)
        check_samples(asked.scenario, dataset.num_samples)
        dataset.check_fits(asked.workload, model.limits, model.positions)
        dataset.check_ids(model.vocab_size)
        return dataset

    def scope(self, asked: Asked, dataset: Dataset) -> RunScope:
        """How much of the workload a run on this dataset covers."""
        return RunScope(
            workload=asked.workload,
            scenario=asked.scenario,
            num_samples=dataset.num_samples,
            qps=self.qps,
            duration_s=self.duration_s,
            own_set=dataset.record.own_set,
            round=asked.round,
        )

    def folder(self, name: str, scenario: Scenario) -> Path:
        """Where a run goes; `name` is what engines of its kind are called."""
        if self.output is not None:
            return self.output.absolute()
        now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        folder = new_folder(str(_RESULTS / f"{now}-{name}-{scenario.lower()}"))
        return Path(folder).absolute()

    @property
    def options(self) -> dict[str, object]:
        """The options that ask this again; None for one that is left out."""
        return {
            "--scenario": self.scenario,
            "--workload": self.workload,
            "--dataset": self.dataset,
            "--mode": self.mode,
            "--count": self.count,
            "--qps": self.qps,
            "--duration": self.duration_s,
            "--repeat": self.repeat if self.repeat > 1 else None,
            "--round": self.round,
            "--output": self.output,
        }

    def _check_numbers(self, scenario: Scenario, mode: str) -> None:
        check_count(self.count)
        if self.qps is not None and scenario.one_at_a_time:
            raise UsageError(
                f"{scenario} has no rate: each query waits for the last; leave out --qps."
            )
        if self.duration_s is not None and mode == "accuracy":
            raise UsageError(
                "An accuracy test asks each sample once, however long that takes; leave out "
                "--duration."
            )
        check_repeats("--repeat", self.repeat)
        if self.repeat > 1 and mode == "accuracy":
            raise UsageError(
                "An accuracy test gives the same answers every time; leave out --repeat."
            )
        for option, value in (("--qps", self.qps), ("--duration", self.duration_s)):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{option} is {value:g}; give a number above 0.")
        if self.qps is not None and self.qps > MOST_QPS:
            raise UsageError(f"--qps is {self.qps:g}; give {MOST_QPS:,} or less.")
        if self.qps is not None and self.qps < MIN_QPS:
            raise UsageError(f"--qps is {self.qps:g}; give {MIN_QPS:g} or more.")
        if self.duration_s is not None and self.duration_s > MAX_DURATION_S:
            raise UsageError(
                f"--duration is {self.duration_s:g}; give {MAX_DURATION_S:,} (a day) or less, and "
                "--repeat for more of them."
            )

    def _check_queries(self, workload: Workload) -> None:
        """LoadGen makes all queries of a test before it begins, at about 500 bytes each."""
        duration_s = self.duration_s
        if duration_s is None:
            duration_s = 0.0 if self.count else workload.min_duration_s
        num_queries = (self.qps or 0.0) * duration_s
        if num_queries > _MAX_QUERIES:
            raise UsageError(
                f"--qps {self.qps:g} makes {num_queries:,.0f} queries in {duration_s:,g} s, and "
                f"LoadGen holds all of them in memory; give a lower --qps, or a shorter "
                f"--duration, for {_MAX_QUERIES:,} or fewer."
            )


def check_samples(scenario: Scenario, count: int) -> None:
    """Raise UsageError for fewer samples than a scenario needs."""
    if count < 2 and scenario.has_rate:
        raise UsageError(f"{scenario} needs 2 samples to have a rate; give --count 2 or more.")


def check_output(folder: Path, dataset: str | None) -> None:
    """Raise RunExists, OutputError, or UsageError for a place in what we keep or read, now rather
    than after a build.
    """
    require_text(folder.absolute())
    require_own_place(folder, dataset)
    require_free(folder)
    check_writable(folder)
