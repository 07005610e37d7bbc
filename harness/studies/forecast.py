"""What a sweep will take, before anything of it is spent: disk and time, as far as they are known.

A time is known by runs of the same study, or by the plan of an engine where the peaks of its target
are known; what nothing is known of is None, never a guess.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError, UsageError
from build_engine.paths import cache_root
from build_engine.store.store import EngineStore
from harness.runs.run import Run
from harness.studies.clock import Clock
from harness.studies.foretold import Foretold
from harness.studies.place import is_folder_of_a_run, is_forgetting
from harness.studies.record import earlier_study
from harness.studies.sweep import rate_by, turn_of
from harness.studies.turns import finished_run

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.unseen import Evaluated
    from harness.progress import Progress
    from harness.rules.workload import Workload
    from harness.studies.choice import WantedEngine
    from harness.studies.sweep import Planned, SweepPlan


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineForecast:
    """One engine of a sweep. `size_bytes` is that of a built engine, and about what one takes that
    is not, None where its backend does not tell; `num_left` are its runs that are still to do, and
    `left_s` their seconds, None where nothing is known of one of them; `by_plan` is whether a plan
    tells of any. `problem` is why there will be no engine.
    """

    engine: str
    built: bool
    size_bytes: int | None
    num_runs: int
    num_left: int
    left_s: float | None
    by_plan: bool
    problem: str | None


def forecast(
    plan: SweepPlan, folder: Path, progress: Progress, *, fresh: bool = False
) -> list[EngineForecast]:
    """Of each engine, in the order in which they are built; with `fresh` nothing is done yet.
    Raises UsageErrors.
    """
    workload, earlier = plan.workload, earlier_study(folder)
    fresh = fresh or is_forgetting(folder)
    if earlier is not None:
        earlier.require_model(plan.choice.model_place, folder)
    finished = _finished(folder)
    clock = Clock()
    for point in earlier.points if earlier else ():
        if point.folder in finished:
            clock.add(finished[point.folder])
    engines = {
        wanted.label: _engine(wanted, workload, plan.evaluated, progress)
        for wanted in plan.wanted_engines
    }
    built = {label: engine for label, (engine, _, _) in engines.items() if engine is not None}
    kept = earlier.rate_for(plan.rate_digest) if earlier and not fresh else None
    rate = kept if plan.choice.qps is None else plan.choice.qps
    done = set() if fresh else _done(plan, built, finished, rate, progress)
    foretold = Foretold(plan, rate)
    found = []
    for wanted in plan.wanted_engines:
        points = [each for each in plan.points if each.wanted is wanted]
        left = [each for each in points if each.point.place not in done]
        left_s, by_plan = _left_s(left, clock, foretold)
        engine, size_bytes, problem = engines[wanted.label]
        found.append(
            EngineForecast(
                engine=wanted.label,
                built=engine is not None,
                size_bytes=size_bytes,
                num_runs=len(points),
                num_left=len(left),
                left_s=left_s,
                by_plan=by_plan,
                problem=problem,
            )
        )
    return found


def total_left_s(engines: Iterable[EngineForecast]) -> float | None:
    """Seconds of all runs that are still to do; None while some of it is unknown."""
    left_s = [engine.left_s for engine in engines if engine.problem is None]
    return None if None in left_s else sum(each for each in left_s if each is not None)


def _engine(
    wanted: WantedEngine, workload: Workload, evaluated: Evaluated, progress: Progress
) -> tuple[Engine | None, int | None, str | None]:
    """The engine where it is built, its bytes, and why it cannot be."""
    try:
        wanted.choice.require_here()
        spec = wanted.choice.spec(workload, progress, evaluated)
        engine = EngineStore(cache_root()).find(spec)
    except UsageError:
        raise
    except EnginebenchError as error:
        return None, None, str(error)
    if engine is not None:
        return engine, engine.size_bytes, None
    needs = spec.backend.needs_of(spec.checkpoint.config, spec.recipe, spec.limits)
    return None, needs.disk if needs else None, None


def _left_s(left: Iterable[Planned], clock: Clock, foretold: Foretold) -> tuple[float | None, bool]:
    """Seconds of these points, None where nothing is known of one, and whether a plan tells any."""
    total_s, by_plan = 0.0, False
    for planned in left:
        seconds = clock.left_s([planned.point.scenario])
        if seconds is None:
            seconds, by_plan = foretold.seconds(planned), True
        if seconds is None:
            return None, False
        total_s += seconds
    return total_s, by_plan


def _finished(folder: Path) -> dict[str, Run]:
    """The study's runs that a sweep may take up, by the names of their folders."""
    names = [place.name for place in folder.iterdir()] if folder.is_dir() else []
    runs = {name: finished_run(folder / name) for name in filter(is_folder_of_a_run, names)}
    return {name: run for name, run in runs.items() if run is not None}


def _done(
    plan: SweepPlan,
    built: dict[str, Engine],
    finished: dict[str, Run],
    rate: float | None,
    progress: Progress,
) -> set[tuple[str, str, int]]:
    """The places of the points that are measured already: on the same engine, the same samples and
    under the same conditions, as a sweep would find them.
    """
    if not finished:
        return set()
    done: set[tuple[str, str, int]] = set()
    measured: list[Run] = []
    for planned in plan.points:
        engine = built.get(planned.point.engine)
        if engine is None:
            continue
        try:
            turn = turn_of(plan, planned, engine, rate or rate_by(measured), progress)
        except EnginebenchError:  # it will be told of when its turn comes
            continue
        run = finished.get(turn.folder_name)
        if run is not None:
            done.add(planned.point.place)
            measured.append(run)
    return done


def num_left(engines: Iterable[EngineForecast]) -> int:
    """Runs that are still to do."""
    return sum(engine.num_left for engine in engines if engine.problem is None)
