"""A sweep: every engine that was asked for, measured in turn, so that a drift of the machine meets
all of them and does not become a result.

What is finished is never repeated, and what is half-finished is never trusted (`turns.py`). A point
that fails is recorded with its cause, and the others go on.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import (
    EnginebenchError,
    EnvironmentFault,
    Interrupted,
    OutputError,
    RunFailed,
    UsageError,
)
from build_engine.memory import require_address_space
from harness.figures import duration
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.repeats import check_repeats
from harness.runs.run import now_utc
from harness.studies.clock import Clock
from harness.studies.digests import engine_digest, rate_digest, run_digest
from harness.studies.place import check_study_folder, held
from harness.studies.rate import server_rate
from harness.studies.record import Point, StudyRecord
from harness.studies.study import Study, interrupted
from harness.studies.turns import Turn

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.unseen import Evaluated
    from harness.progress import Progress
    from harness.rules.workload import Workload
    from harness.runs.run import Run
    from harness.studies.choice import SweepChoice, WantedEngine


@dataclass(frozen=True, slots=True)
class Planned:
    """A point, and the engine and the mode that it is measured with."""

    point: Point
    wanted: WantedEngine
    mode: str


@dataclass(frozen=True, slots=True)
class SweepPlan:
    """Everything that a sweep does, in order; all that can be refused has been."""

    choice: SweepChoice
    wanted_engines: tuple[WantedEngine, ...]
    points: tuple[Planned, ...]
    workload: Workload
    """With what the choice changes of it: by `workload_settings`."""
    workload_settings: tuple[str, ...]
    evaluated: Evaluated
    """The samples that every engine is asked for, and that none is calibrated on."""

    @classmethod
    def of(cls, choice: SweepChoice, progress: Progress) -> SweepPlan:
        """The plan of a choice. Raises UsageErrors, and EnvironmentFault where none of its engines
        can be built on this machine.
        """
        wanted_engines, scenarios = choice.wanted_engines, choice.asked_scenarios
        settings = wanted_engines[0].choice.workload_settings
        check_repeats("--repeats", choice.repeats)
        rated = [scenario for scenario in scenarios if scenario.has_rate]
        if rated and choice.qps is None and Scenario.OFFLINE not in scenarios:
            raise UsageError(
                f"{rated[0]} needs a rate that is the same for all engines; give --qps, or add "
                "Offline to --scenarios, by which one is chosen."
            )
        asked = [choice.run_choice(scenario, "both", choice.qps) for scenario in scenarios]
        evaluated = [each.evaluated(settings, progress) for each in asked]
        _require_one_here(wanted_engines)
        for reason in choice.left_out:
            progress.note(reason)
        shipped = load_workload(choice.workload, load_round(choice.round))
        workload = shipped.with_settings(settings)
        points = tuple(_points(wanted_engines, scenarios, choice, workload))
        return cls(choice, wanted_engines, points, workload, settings, evaluated[0])

    @property
    def asked_points(self) -> tuple[Point, ...]:
        """The points alone."""
        return tuple(planned.point for planned in self.points)

    @property
    def rate_digest(self) -> str:
        """What a rate is chosen for."""
        return rate_digest(self.workload, self.choice.dataset, self.choice.target)


def _points(
    wanted_engines: tuple[WantedEngine, ...],
    scenarios: tuple[Scenario, ...],
    choice: SweepChoice,
    workload: Workload,
) -> Iterator[Planned]:
    """Round after round, scenario after scenario, engine after engine. Answers are scored once."""
    engines = {wanted.label: engine_digest(wanted.choice) for wanted in wanted_engines}

    @cache
    def asked(scenario: Scenario, mode: str) -> str:
        return run_digest(choice.run_choice(scenario, mode, choice.qps), workload)

    def planned(wanted: WantedEngine, scenario: Scenario, repeat: int, mode: str) -> Planned:
        point = Point(
            engine=wanted.label,
            target=wanted.choice.target,
            recipe=wanted.recipe,
            emulated=wanted.emulated,
            scenario=scenario,
            repeat=repeat,
            engine_digest=engines[wanted.label],
            run_digest=asked(scenario, mode),
        )
        return Planned(point, wanted, mode)

    measured = [wanted for wanted in wanted_engines if not wanted.emulated]
    for repeat in range(1, choice.repeats + 1):
        for scenario in scenarios if measured else ():
            scored = repeat == 1 and scenario is scenarios[0]
            for wanted in measured:
                yield planned(wanted, scenario, repeat, "both" if scored else "performance")
    for wanted in wanted_engines:
        if wanted.emulated:
            yield planned(wanted, Scenario.OFFLINE, 1, "accuracy")


def _require_one_here(wanted_engines: tuple[WantedEngine, ...]) -> None:
    """Raise EnvironmentFault when this machine can build none of the engines."""
    faults: list[EnvironmentFault] = []
    for wanted in wanted_engines:
        try:
            wanted.choice.require_here()
        except EnvironmentFault as fault:
            faults.append(fault)
    if len(faults) == len(wanted_engines):
        raise faults[0]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep that went through: its folder, its record, the points that failed now, and the runs
    of each engine that has any, by what the sweep calls it.
    """

    folder: Path
    record: StudyRecord
    failed: tuple[Point, ...]
    runs: dict[str, tuple[Run, ...]]


def run_sweep(
    plan: SweepPlan, folder: Path, command: str, progress: Progress, *, fresh: bool = False
) -> Sweep:
    """Build and measure what is missing below `folder`: everything, and what was measured there
    before is removed, where it is begun `fresh`. `command` is the one that goes on with it.

    Raises OutputError and UsageError before anything is built, and Interrupted when the user stops
    it; what is complete stays.
    """
    check_study_folder(folder, plan.choice.dataset)
    require_address_space()
    asked = StudyRecord(
        schema_version=StudyRecord.SCHEMA,
        command=command,
        started_utc=now_utc(),
        points=plan.asked_points,
        model=plan.choice.model_place,
    )
    with held(folder):
        try:
            study = Study.begin(folder, asked, progress, fresh=fresh)
            return _Sweeping(plan, study).go()
        except (Interrupted, KeyboardInterrupt):
            raise interrupted(folder, shlex.split(command)[1:], fresh=fresh) from None


@dataclass(slots=True)
class _Sweeping:
    """A sweep that goes on."""

    plan: SweepPlan
    study: Study
    runs: defaultdict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    failed: list[Point] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    @property
    def progress(self) -> Progress:
        """Where it tells how it goes."""
        return self.study.progress

    def go(self) -> Sweep:
        """Engine after engine is built, then point after point is measured."""
        engines = self._build()
        for number, planned in enumerate(self.plan.points, start=1):
            built = engines[planned.wanted.label]
            try:
                if isinstance(built, EnginebenchError):
                    raise built
                point = self._measure(planned, built, number)
            except (Interrupted, OutputError):
                raise
            except EnginebenchError as error:
                self.progress.note(f"{planned.point.engine} {planned.point.scenario}: {error}")
                point = planned.point.model_copy(update={"status": "failed", "cause": str(error)})
            if point.status == "failed":
                self.failed.append(point)
            self.study.note(point)
        runs = {label: tuple(runs) for label, runs in self.runs.items()}
        return Sweep(self.study.folder, self.study.record, tuple(self.failed), runs)

    def _build(self) -> dict[str, Engine | EnginebenchError]:
        """Each engine, or why there is none."""
        workload = self.plan.workload
        found: dict[str, Engine | EnginebenchError] = {}
        for wanted in self.plan.wanted_engines:
            try:
                found[wanted.label] = wanted.choice.build_for_runs(
                    workload, self.progress, self.plan.evaluated
                )
            except (Interrupted, OutputError):
                raise
            except EnginebenchError as error:
                self.progress.note(f"{wanted.label}: {error}")
                found[wanted.label] = error
        return found

    def _measure(self, planned: Planned, engine: Engine, number: int) -> Point:
        """The point with its run. Raises what keeps it from being measured."""
        rate = self.plan.choice.qps
        if rate is None:
            rate = self.study.rate(self.plan.rate_digest, self._rate)
        turn = turn_of(self.plan, planned, engine, rate, self.progress)
        run = self.study.run(planned.point, turn, self._title(number))
        self.clock.add(run)
        point = planned.point.ended(run)
        if point.status == "complete":
            self.runs[point.engine].append(run)
        return point

    def _rate(self) -> float | None:
        return rate_by(run for runs in self.runs.values() for run in runs)

    def _title(self, number: int) -> str:
        points = self.plan.points
        point = points[number - 1].point
        left_s = self.clock.left_s(each.point.scenario for each in points[number - 1 :])
        left = "" if left_s is None else f", about {duration(left_s)} left"
        return f"Run {number} of {len(points)}{left}: {point.engine} {point.scenario}"


def turn_of(
    plan: SweepPlan, planned: Planned, engine: Engine, rate: float | None, progress: Progress
) -> Turn:
    """The turn that measures a point, at this `rate` where it has one. Raises RunFailed where that
    is not known, and what preparing the dataset raises.
    """
    point, settings = planned.point, plan.workload_settings
    if point.scenario.has_rate and rate is None:
        raise RunFailed("No Offline test completed by which a rate could be chosen; give --qps.")
    choice = plan.choice.run_choice(point.scenario, planned.mode, rate)
    dataset = choice.prepared(engine, settings, progress)
    name = f"{point.recipe}-emulated-{point.target}" if point.emulated else point.recipe
    return Turn(engine, choice, dataset, point.repeat, name, settings)


def rate_by(measured: Iterable[Run]) -> float | None:
    """Queries a second for all engines: by the first that has answered in Offline."""
    for run in measured:
        test = run.record.tests.performance
        if run.record.scenario is Scenario.OFFLINE and test and test.metrics:
            return server_rate(test.metrics.samples_per_s or 0.0)
    return None
