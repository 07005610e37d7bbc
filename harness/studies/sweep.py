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
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.config import apply_overrides
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
from harness.studies.place import check_study_folder, held
from harness.studies.rate import server_rate
from harness.studies.record import Point, StudyRecord, read_study
from harness.studies.turns import Turn, take_turn

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
        points = tuple(_points(wanted_engines, scenarios, choice))
        return cls(choice, wanted_engines, points, settings, evaluated[0])

    @property
    def asked_points(self) -> tuple[Point, ...]:
        """The points alone."""
        return tuple(planned.point for planned in self.points)

    @property
    def workload(self) -> Workload:
        """With what the choice changes of it."""
        workload = load_workload(self.choice.workload, load_round(self.choice.round))
        return apply_overrides(workload, self.workload_settings)


def _points(
    wanted_engines: tuple[WantedEngine, ...], scenarios: tuple[Scenario, ...], choice: SweepChoice
) -> Iterator[Planned]:
    """Round after round, scenario after scenario, engine after engine. Answers are scored once."""
    measured = [wanted for wanted in wanted_engines if not wanted.emulated]
    for repeat in range(1, choice.repeats + 1):
        for scenario in scenarios if measured else ():
            scored = repeat == 1 and scenario is scenarios[0]
            for wanted in measured:
                mode = "both" if scored else "performance"
                yield Planned(_point(wanted, scenario, repeat), wanted, mode)
    for wanted in wanted_engines:
        if wanted.emulated:
            yield Planned(_point(wanted, Scenario.OFFLINE, 1), wanted, "accuracy")


def _point(wanted: WantedEngine, scenario: Scenario, repeat: int) -> Point:
    return Point(
        engine=wanted.label,
        target=wanted.choice.target,
        recipe=wanted.recipe,
        emulated=wanted.emulated,
        scenario=scenario,
        repeat=repeat,
    )


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
    """A sweep that went through: its folder, its record, the points that were asked for, and the
    runs of each engine that has any, by what the sweep calls it.
    """

    folder: Path
    record: StudyRecord
    asked: frozenset[tuple[str, str, int]]
    runs: dict[str, tuple[Run, ...]]

    @property
    def failed(self) -> tuple[Point, ...]:
        """The points that were asked for and have no result; not those of an earlier sweep that
        lies in the same folder.
        """
        return tuple(
            point
            for point in self.record.points
            if point.status == "failed" and point.place in self.asked
        )


def run_sweep(
    plan: SweepPlan, folder: Path, command: str, progress: Progress, *, fresh: bool = False
) -> Sweep:
    """Build and measure what is missing below `folder`.

    Raises OutputError and UsageError before anything is built, and Interrupted when the user stops
    it; what is complete stays.
    """
    check_study_folder(folder, plan.choice.dataset)
    require_address_space()
    with held(folder):
        try:
            return _Sweeping(plan, folder, command, progress, fresh).go()
        except (Interrupted, KeyboardInterrupt):
            raise Interrupted(
                "Interrupted; the same command goes on where it was, with what is complete in "
                f"{folder}.",
                again=shlex.split(command)[1:],
            ) from None


@dataclass(slots=True)
class _Sweeping:
    """A sweep that goes on."""

    plan: SweepPlan
    folder: Path
    command: str
    progress: Progress
    fresh: bool
    runs: defaultdict[str, list[Run]] = field(default_factory=lambda: defaultdict(list))
    clock: Clock = field(default_factory=Clock)

    def go(self) -> Sweep:
        """Engine after engine is built, then point after point is measured."""
        earlier, model = earlier_study(self.folder), self.plan.choice.model_place
        if earlier is not None:
            earlier.require_model(model, self.folder)
        record = StudyRecord(
            schema_version=StudyRecord.SCHEMA,
            command=self.command,
            started_utc=now_utc(),
            points=self.plan.asked_points,
            model=model,
        ).after(earlier)
        record.write(self.folder)
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
            record = record.with_point(point)
            record.write(self.folder)
        asked = frozenset(point.place for point in self.plan.asked_points)
        runs = {label: tuple(runs) for label, runs in self.runs.items()}
        return Sweep(self.folder, record, asked, runs)

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
        point = planned.point
        measured = (run for runs in self.runs.values() for run in runs)
        turn = turn_of(self.plan, planned, engine, measured, self.progress)
        run = take_turn(self.folder, turn, self._title(number), self.progress, fresh=self.fresh)
        self.clock.add(run)
        failed = run.record.status == "failed"
        if not failed:
            self.runs[point.engine].append(run)
        return point.model_copy(
            update={
                "status": "failed" if failed else "complete",
                "folder": run.folder.path.name,
                "cause": run.record.cause,
            }
        )

    def _title(self, number: int) -> str:
        points = self.plan.points
        point = points[number - 1].point
        left_s = self.clock.left_s(each.point.scenario for each in points[number - 1 :])
        left = "" if left_s is None else f", about {duration(left_s)} left"
        return f"Run {number} of {len(points)}{left}: {point.engine} {point.scenario}"


def turn_of(
    plan: SweepPlan, planned: Planned, engine: Engine, measured: Iterable[Run], progress: Progress
) -> Turn:
    """The turn that measures a point, after what was `measured` before it. Raises RunFailed where
    its rate cannot be known, and what preparing the dataset raises.
    """
    point, settings = planned.point, plan.workload_settings
    rate = _rate(plan.choice, measured)
    if point.scenario.has_rate and rate is None:
        raise RunFailed("No Offline test completed by which a rate could be chosen; give --qps.")
    choice = plan.choice.run_choice(point.scenario, planned.mode, rate)
    dataset = choice.prepared(engine, settings, progress)
    return Turn(engine, choice, dataset, point.repeat, _folder_name(point.engine), settings)


def _rate(choice: SweepChoice, measured: Iterable[Run]) -> float | None:
    """Queries a second for all engines: of the first that has answered in Offline."""
    if choice.qps is not None:
        return choice.qps
    for run in measured:
        test = run.record.tests.performance
        if run.record.scenario is Scenario.OFFLINE and test and test.metrics:
            return server_rate(test.metrics.samples_per_s or 0.0)
    return None


def earlier_study(folder: Path) -> StudyRecord | None:
    """What an earlier command left in `folder`. Raises UsageError for a record that cannot be
    read.
    """
    try:
        return read_study(folder)
    except FileNotFoundError:
        return None


def _folder_name(label: str) -> str:
    return label.replace(" ", "-").replace("=", "")
