"""From what a user asks for to a run that can start: everything is checked before anything is
spent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

from build_engine.config import apply_overrides
from build_engine.errors import UnknownName, UsageError
from build_engine.paths import cache_root
from harness.dataset.prepared import Source, check_count, prepare
from harness.loadgen.settings import Mode
from harness.rules.rounds import DEFAULT, load_round, require_loadgen
from harness.rules.workload import Scenario, load_workload
from harness.rules.workload import scenario as scenario_rules
from harness.runs.engine_choice import EngineChoice, build_spec, require_backend
from harness.runs.execution import RunRequest
from harness.runs.record import check_writable, require_free
from harness.runs.scope import RunScope
from runtime.spec import OpenVINOSpec

if TYPE_CHECKING:
    from harness.progress import Progress

_SCENARIOS: tuple[Scenario, ...] = get_args(Scenario)
_MODES: dict[str, tuple[Mode, ...]] = {
    "performance": ("performance",),
    "accuracy": ("accuracy",),
    "both": ("performance", "accuracy"),
}
_Name = TypeVar("_Name", bound=str)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChoice:
    """A run as a user names it."""

    engine: EngineChoice
    workload: str
    workload_overrides: tuple[str, ...] = ()
    """`a.b=c` settings of the workload."""
    dataset: str | None
    scenario: str
    mode: str
    count: int | None
    qps: float | None
    duration_s: float | None
    output: Path
    round: str = DEFAULT

    def request(self, progress: Progress) -> RunRequest:
        """The run, with its engine built and its dataset prepared.

        Raises UsageErrors and EnvironmentFaults, all before a LoadGen test begins.
        """
        workload = apply_overrides(load_workload(self.workload), self.workload_overrides)
        scenario = _one_of("scenario", self.scenario, _SCENARIOS)
        scenario_rules(workload, scenario)
        chosen = load_round(self.round)
        require_loadgen(chosen)
        mode = _one_of("mode", self.mode, tuple(_MODES))
        self._check_numbers(scenario, mode)
        check_output(self.output)
        source = Source.for_workload(self.dataset, workload, progress)
        spec = self.engine.spec(workload, progress)
        require_backend(spec)
        count = self.count
        if count is None and source.path is None:
            count = workload.num_samples
        # the dataset before the engine: its mistakes are found in seconds, a build takes minutes
        dataset = prepare(workload, source, spec.checkpoint.folder, cache_root(), count, progress)
        if dataset.num_samples < 2 and scenario in ("Server", "Interactive"):
            raise UsageError(f"{scenario} needs 2 samples to have a rate; give --count 2 or more.")
        dataset.check_fits(workload, spec.limits)
        dataset.check_ids(spec.checkpoint.config.vocab_size)
        engine = build_spec(spec, progress)
        return RunRequest(
            scope=RunScope(
                workload=workload,
                scenario=scenario,
                num_samples=dataset.num_samples,
                qps=self.qps,
                duration_s=self.duration_s,
            ),
            modes=_MODES[mode],
            dataset=dataset,
            engine=engine,
            executor=OpenVINOSpec(folder=engine.folder),
            folder=self.output.absolute(),
            round=chosen,
        )

    def _check_numbers(self, scenario: Scenario, mode: str) -> None:
        check_count(self.count)
        if self.qps is not None and scenario == "SingleStream":
            raise UsageError(
                "SingleStream has no rate: each query waits for the last; leave out --qps."
            )
        if self.duration_s is not None and mode == "accuracy":
            raise UsageError(
                "An accuracy test asks each sample once, however long that takes; leave out "
                "--duration."
            )
        for option, value in (("--qps", self.qps), ("--duration", self.duration_s)):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{option} is {value:g}; give a number above 0.")


def split_settings(assignments: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """`--set` values of the recipe and of the workload: the latter begin with `workload.`."""
    workload = "workload."
    return (
        tuple(a.removeprefix("recipe.") for a in assignments if not a.startswith(workload)),
        tuple(a.removeprefix(workload) for a in assignments if a.startswith(workload)),
    )


def check_output(folder: Path) -> None:
    """Raise RunExists or OutputError now rather than after a build."""
    require_free(folder)
    check_writable(folder)


def _one_of(kind: str, name: str, valid: tuple[_Name, ...]) -> _Name:
    """The valid name that was meant, whatever its case."""
    for known in valid:
        if known.lower() == name.lower():
            return known
    raise UnknownName(kind, name, valid)
