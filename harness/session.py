"""From what a user asks for to a run that can start: everything is checked before anything is
spent.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, get_args

from build_engine.digest import cache_root
from build_engine.errors import RunExists, UnknownName, UsageError
from harness.assemble import EngineChoice
from harness.dataset import BUNDLED, Source, prepare
from harness.loadgen.settings import Mode, Scenario
from harness.planning import TestScope
from harness.record import cannot_write
from harness.rounds import DEFAULT, load_round, require_loadgen
from harness.run import RunRequest
from harness.workload import load_workload
from harness.workload import scenario as scenario_rules
from runtime.spec import OpenVINOSpec

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.workload import Workload

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
        workload = load_workload(self.workload)
        scenario = _one_of("scenario", self.scenario, _SCENARIOS)
        scenario_rules(workload, scenario)
        chosen = load_round(self.round)
        require_loadgen(chosen)
        mode = _one_of("mode", self.mode, tuple(_MODES))
        self._check_numbers()
        check_output(self.output)
        source = self._source(workload, progress)
        engine = self.engine.build(progress)
        count = self.count
        if count is None and source.path is None:
            count = workload.num_samples
        dataset = prepare(workload, source, engine.folder, cache_root(), count, progress)
        dataset.check_fits(workload, engine.limits)
        return RunRequest(
            scope=TestScope(
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

    def _source(self, workload: Workload, progress: Progress) -> Source:
        if self.dataset is None and self.workload != BUNDLED:
            raise UsageError(f"Workload `{self.workload}` needs its data: --dataset FILE.")
        return Source.find(self.dataset or BUNDLED, workload, progress)

    def _check_numbers(self) -> None:
        if self.count is not None and self.count < 1:
            raise UsageError(f"--count is {self.count}; give 1 or more.")
        for option, value in (("--qps", self.qps), ("--duration", self.duration_s)):
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"{option} is {value:g}; give a number above 0.")


def check_output(folder: Path) -> None:
    """Raise RunExists or OutputError now rather than after a build."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise RunExists(
            f"{folder} exists already; choose another --output, or move it out of the way."
        )
    parent = next(path for path in [folder, *folder.absolute().parents] if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
        raise cannot_write(folder, OSError(f"{parent} is not writable"))


def _one_of(kind: str, name: str, valid: tuple[_Name, ...]) -> _Name:
    """The valid name that was meant, whatever its case."""
    for known in valid:
        if known.lower() == name.lower():
            return known
    raise UnknownName(kind, name, valid)
