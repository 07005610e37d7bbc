"""What a search is asked for: the scenario, how whole its runs are, and how near it shall come.

The fields of a choice are options of the command line: their docstrings are what `--help` says.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import UsageError
from build_engine.validation import one_of
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.asking import MIN_QPS, MOST_QPS
from harness.runs.choice import RunChoice

if TYPE_CHECKING:
    from harness.rules.workload import Workload

_LEAST_TOLERANCE, _MOST_TOLERANCE = 0.5, 50.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchChoice:
    """A search, as a user names it."""

    scenario: str
    """Server or Interactive."""
    output: Path | None = None
    """The search's folder: results/search-MODEL-RECIPE-SCENARIO when left out. What is there of the
    same search is gone on with.
    """
    workload: str = BUNDLED
    """A workload by its name, or a .yaml file."""
    dataset: str | None = None
    """As for `enginebench run`."""
    count: int | None = None
    """Short trials over the first COUNT samples, without a minimum duration."""
    duration_s: float | None = None
    """Minimum seconds of a whole run, instead of the workload's."""
    qps: float | None = None
    """Queries a second to begin with; when left out the plan's, or what a burst shows."""
    highest: float | None = None
    """Queries a second that are never exceeded."""
    tolerance: float = 3.0
    """How near to come to the highest rate, in per cent."""
    tune: bool = False
    """Try other limits of the scheduler too, max_batch_size and max_num_tokens, within those of the
    engine: near the highest rate, by probes; and search again with better ones.
    """
    round: str = DEFAULT
    """The MLPerf round whose LoadGen and seeds the runs must have."""

    @property
    def asked_scenario(self) -> Scenario:
        """Raises UnknownName, and UsageError for one that has no rate."""
        scenario = one_of("scenario", self.scenario, tuple(Scenario))
        if not scenario.has_rate:
            raise UsageError(
                f"{scenario} has no rate to be searched for; give --scenario Server or Interactive."
            )
        return scenario

    @property
    def rules(self) -> Workload:
        """The workload as it is shipped."""
        return load_workload(self.workload, load_round(self.round))

    def check(self) -> None:
        """Raise UsageError for what cannot be searched for."""
        _ = self.asked_scenario
        for option, value in (("--qps", self.qps), ("--highest", self.highest)):
            if value is not None and not MIN_QPS <= value <= MOST_QPS:
                raise UsageError(f"{option} is {value:g}; give {MIN_QPS:g} to {MOST_QPS:,}.")
        if not _LEAST_TOLERANCE <= self.tolerance <= _MOST_TOLERANCE:
            raise UsageError(
                f"--tolerance is {self.tolerance:g} per cent; give {_LEAST_TOLERANCE:g} to "
                f"{_MOST_TOLERANCE:g}."
            )
        if self.qps is not None and self.highest is not None and self.qps > self.highest:
            raise UsageError(f"--qps {self.qps:g} is above --highest {self.highest:g}; lower it.")

    def run_choice(self, rate: float | None, output: Path | None = None) -> RunChoice:
        """A whole run at a rate."""
        return RunChoice(
            scenario=self.asked_scenario,
            output=output,
            workload=self.workload,
            dataset=self.dataset,
            mode="performance",
            count=self.count,
            qps=rate,
            duration_s=self.duration_s,
            round=self.round,
        )
