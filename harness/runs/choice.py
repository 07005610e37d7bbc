"""From what a user asks for to a run that can start: everything is checked before anything is
spent.

The fields of a choice are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.config import apply_overrides
from build_engine.errors import UsageError
from build_engine.files import check_writable
from build_engine.memory import require_address_space
from build_engine.paths import cache_root, require_text
from build_engine.store.engine import open_engine
from build_engine.target import load_target
from build_engine.validation import one_of
from harness.dataset.preparation import check_count, prepare
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.dataset.sources.source import Source
from harness.dataset.unseen import Evaluated
from harness.loadgen.installed import require_loadgen
from harness.loadgen.settings import Mode
from harness.rules.rounds import DEFAULT, Round, load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import MAX_DURATION_S, Workload, load_workload
from harness.runs.engine_choice import EngineChoice, build_spec
from harness.runs.folder import new_folder
from harness.runs.place import require_own_place
from harness.runs.repeats import check_repeats
from harness.runs.replication import Replication
from harness.runs.request import RunRequest
from harness.runs.run import require_free
from harness.runs.scope import RunScope
from harness.streams import shell_word
from runtime.backend import backend, engine_spec, require_executable

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.store.engine import Engine
    from build_engine.store.limits import EngineLimits
    from harness.dataset.prepared import Dataset
    from harness.progress import Progress
    from runtime.spec import ExecutorSpec

_MODES: dict[str, tuple[Mode, ...]] = {
    "performance": ("performance",),
    "accuracy": ("accuracy",),
    "both": ("performance", "accuracy"),
}
_RESULTS = Path("results")
MOST_QPS = 1_000_000  # LoadGen spaces queries by whole nanoseconds
_MAX_QUERIES = 10_000_000  # in a test
MIN_QPS = 0.001  # a query in a quarter of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice:
    """How an engine is run, as a user names it."""

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
    replicas: str | None = None
    """Copies of the engine that share the requests, one on each GPU, or each on cores of its own;
    `auto` is one for every GPU, or every machine of a CPU cluster. Needs enginebench[ray].
    """
    ray_address: str | None = None
    """A Ray cluster over whose machines the replicas are spread: HOST:PORT of its head, or `auto`
    for the one that this machine is a part of. Without it they are on this machine.
    """
    cores_per_replica: int | None = None
    """Physical cores of each replica on the CPU target; an equal share of each machine's when left
    out.
    """
    tolerate_failures: bool = False
    """Go on when a replica is lost, with a mark on the run: its requests go to the others."""

    def request(self, chosen: EngineChoice, progress: Progress) -> RunRequest:
        """The run of the chosen engine, which is found or built, on its prepared dataset.

        Raises UsageErrors and EnvironmentFaults, all before a LoadGen test begins.
        """
        asked = self._checked(chosen.workload_settings)
        self._check_place()
        if chosen.emulate:
            _require_accuracy(asked.modes)
        require_executable(load_target(chosen.target).backend, chosen.tensor_parallel or 1)
        chosen.require_here()
        source = Source.for_workload(self.dataset, asked.workload, progress)
        spec = chosen.spec(asked.workload, progress, Evaluated(source, self.count))
        # the dataset before the engine: its mistakes are found in seconds, a build takes minutes
        model = _Model(spec.checkpoint.folder, spec.limits, spec.checkpoint.config)
        dataset = self._dataset(asked, source, model, progress)
        return self._request(asked, dataset, build_spec(spec, progress), chosen.workload_settings)

    def request_for(self, engine: Engine, progress: Progress) -> RunRequest:
        """The run of an engine that is there, on its prepared dataset.

        Raises EngineError when its files are not as they were built, and what `request` raises.
        """
        self._checked_for(engine, ())
        self._check_place()
        engine = open_engine(engine.folder)
        return self.request_on(engine, self.prepared(engine, (), progress))

    def prepared(self, engine: Engine, settings: tuple[str, ...], progress: Progress) -> Dataset:
        """The dataset for runs of an engine that is there; `settings` change the workload. Raises
        what `request` raises.
        """
        asked = self._checked_for(engine, settings)
        source = Source.for_workload(self.dataset, asked.workload, progress)
        model = _Model(engine.folder, engine.limits, engine.manifest.model.config)
        return self._dataset(asked, source, model, progress)

    def request_on(
        self, engine: Engine, dataset: Dataset, settings: tuple[str, ...] = ()
    ) -> RunRequest:
        """The run of an engine that is there on a dataset that was `prepared` for it. Raises
        EngineError when its files are not as they were built.
        """
        asked = self._checked_for(engine, settings)
        return self._request(asked, dataset, open_engine(engine.folder), settings)

    def evaluated(self, settings: tuple[str, ...], progress: Progress) -> Evaluated:
        """What is asked of an engine. Raises what `request` would, as far as it is known without
        one.
        """
        asked = self._checked(settings)
        return Evaluated(Source.for_workload(self.dataset, asked.workload, progress), self.count)

    def command(self, engine: Engine, workload_settings: Sequence[str] = ()) -> str:
        """The command that makes this run, and the engine where it is not there."""
        options = {
            "--scenario": self.scenario,
            "--workload": self.workload,
            "--dataset": self.dataset,
            "--mode": self.mode,
            "--count": self.count,
            "--qps": self.qps,
            "--duration": self.duration_s,
            "--repeat": self.repeat if self.repeat > 1 else None,
            "--round": self.round,
            "--replicas": self.replicas,
            "--ray-address": self.ray_address,
            "--cores-per-replica": self.cores_per_replica,
            "--output": self.output,
        }
        words = ["enginebench", "run", *engine.options()]
        if "--workload" in words:  # in whose prompt a calibrated engine's articles were put
            at = words.index("--workload")
            del words[at : at + 2]
        for setting in workload_settings:
            words += ["--set", f"workload.{setting}"]
        for option, value in options.items():
            words += [] if value is None else [option, str(value)]
        words += ["--tolerate-failures"] if self.tolerate_failures else []
        return " ".join(map(shell_word, words))

    def _checked(self, workload_settings: tuple[str, ...]) -> _Asked:
        """The things behind the names, and whether they go together."""
        chosen = load_round(self.round)
        workload = apply_overrides(load_workload(self.workload, chosen), workload_settings)
        scenario = one_of("scenario", self.scenario, tuple(Scenario))
        workload.rules_of(scenario)
        require_loadgen(chosen)
        require_address_space()
        mode = one_of("mode", self.mode, tuple(_MODES))
        self._check_numbers(scenario, mode)
        self._check_queries(workload)
        replication = Replication.of(
            self.replicas, self.ray_address, self.cores_per_replica, self.tolerate_failures
        )
        return _Asked(workload, scenario, _MODES[mode], chosen, replication)

    def _checked_for(self, engine: Engine, settings: tuple[str, ...]) -> _Asked:
        """The same for an engine that is there."""
        asked = self._checked(settings)
        require_executable(engine.backend, engine.limits.tensor_parallel)
        if not backend(engine.backend).measured:
            _require_accuracy(asked.modes)
        return asked

    def _check_place(self) -> None:
        if self.output is None:
            check_writable(_RESULTS)
        else:
            check_output(self.output, self.dataset)

    def _dataset(self, asked: _Asked, source: Source, model: _Model, progress: Progress) -> Dataset:
        count = self.count
        if count is None and source.path is None:
            count = asked.workload.num_samples
        dataset = prepare(asked.workload, source, model.tokenizer, cache_root(), count, progress)
        if dataset.num_samples < 2 and asked.scenario.has_rate:
            raise UsageError(
                f"{asked.scenario} needs 2 samples to have a rate; give --count 2 or more."
            )
        dataset.check_fits(asked.workload, model.limits, model.config.max_position_embeddings)
        dataset.check_ids(model.config.vocab_size)
        return dataset

    def _request(
        self, asked: _Asked, dataset: Dataset, engine: Engine, settings: Sequence[str] = ()
    ) -> RunRequest:
        return RunRequest(
            scope=RunScope(
                workload=asked.workload,
                scenario=asked.scenario,
                num_samples=dataset.num_samples,
                qps=self.qps,
                duration_s=self.duration_s,
                own_set=dataset.record.own_set,
                round=asked.round,
            ),
            modes=asked.modes,
            dataset=dataset,
            engine=engine,
            executor=_executor(engine, asked.replication),
            folder=self._folder(engine, asked.scenario).absolute(),
            repeat=self.repeat,
            command=self.command(engine, settings),
        )

    def _folder(self, engine: Engine, scenario: Scenario) -> Path:
        if self.output is not None:
            return self.output
        now = datetime.now(timezone.utc).strftime("%Y%m%d-%H%M%S")
        return Path(new_folder(str(_RESULTS / f"{now}-{engine.recipe}-{scenario.lower()}")))

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


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the names of a choice stand for."""

    workload: Workload
    scenario: Scenario
    modes: tuple[Mode, ...]
    round: Round
    replication: Replication | None


@dataclass(frozen=True, slots=True)
class _Model:
    """What a dataset must fit: the folder of a tokenizer, an engine's sizes, a model's."""

    tokenizer: Path
    limits: EngineLimits
    config: LlamaConfig


def _executor(engine: Engine, replication: Replication | None) -> ExecutorSpec:
    spec = engine_spec(engine)
    return spec if replication is None else replication.of_engine(engine, spec)


def _require_accuracy(modes: Sequence[Mode]) -> None:
    """Raise UsageError when the speed of an emulated engine is asked for."""
    if modes != _MODES["accuracy"]:
        raise UsageError("An emulated engine has an accuracy and no speed; add --mode accuracy.")


def check_output(folder: Path, dataset: str | None) -> None:
    """Raise RunExists, OutputError, or UsageError for a place in what we keep or read, now rather
    than after a build.
    """
    require_text(folder.absolute())
    require_own_place(folder, dataset)
    require_free(folder)
    check_writable(folder)
