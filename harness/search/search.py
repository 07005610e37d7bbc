"""A search that can be stopped: every probe that ended is on the disk, and is never made again.

The same command asks the same probes in the same order, so that what is recorded is taken up, and
what was going on when it was stopped is done anew.
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted, ResultProblem, UsageError
from build_engine.memory import require_address_space
from build_engine.validation import counted
from harness.loadgen.job import Probe
from harness.rules.rounds import load_round
from harness.runs.run import now_utc
from harness.runs.sizes import SizesGiven
from harness.search.foreseen import foretelling, num_asked
from harness.search.highest import Goal, find_highest
from harness.search.outcome import ProbeOutcome, RuntimeLimits, Step
from harness.search.prober import HIDDEN, Prober, is_folder_of_a_whole_run
from harness.search.record import SEARCH, ProbeRecord, SearchRecord, Start, read_search
from harness.search.tuning import Tuning, candidates, tune
from harness.simulation.early_stopping import LEAST_QUERIES, most_over_early
from harness.studies.place import (
    check_study_folder,
    clear,
    forget_runs,
    forgetting,
    held,
    is_forgetting,
)
from harness.studies.study import interrupted
from harness.studies.turns import finished_run

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.loadgen.settings import LoadgenPlan
    from harness.progress import Progress
    from harness.rules.rounds import Seeds
    from harness.search.highest import Foretells
    from harness.search.plan import SearchPlan

_BY_LOAD = 1 / 3  # the power of a load by which a rate follows

Told = Callable[[ProbeOutcome], None]


@dataclass(frozen=True, slots=True)
class Search:
    """A search that went through: its folder, its record, and its probes in their order."""

    folder: Path
    record: SearchRecord
    probes: tuple[ProbeOutcome, ...]

    @property
    def best(self) -> Path | None:
        """The folder of the run at the highest rate that is VALID."""
        return None if self.record.best is None else self.folder / self.record.best

    @property
    def best_probe(self) -> ProbeOutcome | None:
        """What that run showed."""
        best = self.record.best
        return next((p.outcome for p in self.record.probes if p.folder == best), None)


def run_search(
    plan: SearchPlan,
    folder: Path,
    command: str,
    progress: Progress,
    told: Told,
    *,
    fresh: bool = False,
) -> Search:
    """Search, going on with what is in `folder`; `told` sees each probe, those of earlier commands
    too.

    Raises OutputError and UsageError before anything is built, RunFailed when a probe fails,
    ResultProblem when a run shows that none can be VALID, and Interrupted when the user stops it;
    what ended stays.
    """
    check_study_folder(folder, plan.choice.dataset)
    require_address_space()
    with held(folder):
        try:
            if fresh or is_forgetting(folder):
                _forget(folder)
            earlier = earlier_search(folder)
            prober = _prober(plan, folder.absolute(), progress)
            return _Searching(plan, prober, told, _record(prober, plan, command, earlier)).go()
        except (Interrupted, KeyboardInterrupt):
            raise interrupted(folder, shlex.split(command)[1:], fresh=fresh) from None


def earlier_search(folder: Path) -> SearchRecord | None:
    """What an earlier command left in `folder`, and none has begun to forget. Raises UsageError for
    a record that cannot be read or was changed.
    """
    if is_forgetting(folder):
        return None
    try:
        return read_search(folder)
    except FileNotFoundError:
        return None


def _prober(plan: SearchPlan, folder: Path, progress: Progress) -> Prober:
    settings = plan.engine.workload_settings
    engine: Engine = plan.engine.build_for_runs(plan.workload, progress, plan.evaluated)
    dataset = plan.choice.run_choice(plan.choice.qps).prepared(engine, settings, progress)
    return Prober(plan.choice, engine, dataset, settings, folder, progress)


def _record(
    prober: Prober, plan: SearchPlan, command: str, earlier: SearchRecord | None
) -> SearchRecord:
    """That of this search, with the probes of an earlier command for the same. Raises UsageError
    for another search's folder.
    """
    if earlier is not None and earlier.asked != prober.asked:
        raise UsageError(
            f"{prober.folder} holds a search of something else ({earlier.command}); give another "
            "--output, or --fresh to clear it."
        )
    return SearchRecord(
        schema_version=SearchRecord.SCHEMA,
        command=command,
        started_utc=earlier.started_utc if earlier else now_utc(),
        asked=prober.asked,
        engine=f"{prober.engine.manifest.model.name} {prober.engine.recipe}",
        scenario=plan.choice.asked_scenario,
        tolerance=plan.choice.tolerance / 100.0,
        start=plan.start_after(earlier.start if earlier else None),
        probes=earlier.probes if earlier else (),
    )


def _require_p99(rate: float, queries: int) -> None:
    """Raise UsageError for a whole run that is INVALID however fast the engine is."""
    if most_over_early(queries) < 0:
        duration_s = math.ceil(LEAST_QUERIES / rate)
        raise UsageError(
            f"A run at {rate:g} queries/s has {counted(queries, 'query', 'queries')}, too few for "
            f"LoadGen's p99, which needs {LEAST_QUERIES}; raise --count to {LEAST_QUERIES} or "
            f"--duration to {duration_s}, with --fresh or another --output."
        )


def _require_hope(known: ProbeRecord) -> None:
    """Raise ResultProblem where a probe showed that no run can be VALID."""
    if known.hopeless is not None:
        raise ResultProblem(known.hopeless)


def _forget(folder: Path) -> None:
    """Remove what an earlier search left, and nothing of anybody else's."""
    with forgetting(folder):
        (folder / SEARCH).unlink(missing_ok=True)
        clear(folder / HIDDEN)
        forget_runs(folder, is_folder_of_a_whole_run)


@dataclass(slots=True)
class _Searching:
    """A search that goes on."""

    plan: SearchPlan
    prober: Prober
    told: Told
    record: SearchRecord
    told_so_far: list[ProbeOutcome] = field(default_factory=list)

    def go(self) -> Search:
        """From the start to the end."""
        for known in self.record.probes:
            if known.outcome.limits is None or self.plan.choice.tune:
                _require_hope(known)
        start = self.record.start
        if start is None:
            self.prober.progress.phase("A burst, to know where to begin")
            start = self.plan.after_burst(self.prober.burst())
        self._write(start=start)
        goal = self._goal(start)
        if most_over_early(goal.whole(start.highest)) < 0:
            _require_p99(start.rate, goal.whole(start.rate))
        found = find_highest(goal, self._ask, self._foresight(None))
        best, tuning = found.best, self._tuned(goal, found.best)
        if tuning is not None and tuning.rate is not None:
            best = max((p for p in self.told_so_far if p.valid), key=lambda p: p.rate)
        runs = (each.folder for each in self.record.probes if each.outcome == best)
        self._write(ended=True, limited=found.limited, best=next(runs, None), tuning=tuning)
        return Search(self.prober.folder, self.record, tuple(self.told_so_far))

    def _tuned(self, goal: Goal, best: ProbeOutcome | None) -> Tuning | None:
        """What other limits of the scheduler bring near the highest rate; None where nobody asks,
        or nothing can be tried.
        """
        if not self.plan.choice.tune or best is None or not self.prober.takes_limits:
            return None
        limits, asked = self.prober.engine.limits, self.plan.asked
        own = RuntimeLimits(
            max_batch_size=limits.max_batch_size, max_num_tokens=limits.max_num_tokens
        )
        in_parts = asked is not None and asked.storage.chunked
        tried = candidates(own, 1 if in_parts else limits.max_input_len)
        if not tried:
            return None
        self.prober.progress.phase("Other limits of the scheduler")
        tuning = tune(own, tried, goal.step("long", best.rate), self._ask)
        if not tuning.told_apart:
            return tuning
        higher = replace(goal, start=best.rate * (1.0 + tuning.gain) ** _BY_LOAD)

        def ask(step: Step) -> ProbeOutcome:
            return self._ask(step.model_copy(update={"limits": tuning.best}))

        again = find_highest(higher, ask, self._foresight(tuning.best)).best
        if again is None or again.rate <= best.rate:
            return tuning
        return tuning.model_copy(update={"rate": again.rate})

    def _goal(self, start: Start) -> Goal:
        return Goal(
            start=start.rate,
            lowest=start.lowest,
            highest=start.highest,
            tolerance=self.record.tolerance,
            whole=lambda rate: num_asked(self._whole(rate), self._seeds),
            most_over=most_over_early,
        )

    def _whole(self, rate: float) -> LoadgenPlan:
        """LoadGen's test of a whole run."""
        dataset = self.prober.dataset
        scope = self.plan.scope(rate, dataset.num_samples, own_set=dataset.record.own_set)
        return scope.plan("performance", Probe(0.0, 1.0, rate))

    @property
    def _seeds(self) -> Seeds:
        return load_round(self.plan.choice.round).loadgen.seeds

    def _foresight(self, tuned: RuntimeLimits | None) -> Foretells:
        sizes, asked = self.prober.engine.limits, self.plan.asked
        if tuned is not None:
            sizes = replace(sizes, **tuned.model_dump())
        if asked is not None:
            asked = replace(asked, sizes=SizesGiven.of(sizes))
        return foretelling(
            asked,
            self.prober.prompt_lengths,
            self.plan.workload.rules_of(self.plan.choice.asked_scenario),
            self._seeds,
            self._whole,
            most_over_early,
        )

    def _ask(self, step: Step) -> ProbeOutcome:
        """The outcome of a probe that was made before, or is made now."""
        key = self.prober.key(step)
        known = self.record.probe(key)
        if step.kind == "whole":
            _require_p99(step.rate, step.queries)  # a lower rate than the first may have fewer
        if known is None or not self._stands(known):
            self.prober.progress.phase(
                f"{step.kind.capitalize()} probe: {step.rate:g} queries/s, {step.queries:,} queries"
                + (f", {step.limits}" if step.limits else "")
            )
            made = self.prober.probe(step)
            known = ProbeRecord(
                key=key,
                outcome=made.outcome,
                folder=str(made.place.relative_to(self.prober.folder)),
                ended_utc=now_utc(),
                hopeless=made.hopeless,
            )
            self.record = self.record.with_probe(known)
            self._write()
        self.told(known.outcome)
        self.told_so_far.append(known.outcome)
        _require_hope(known)
        return known.outcome

    def _stands(self, probe: ProbeRecord) -> bool:
        """Whether a run that is told to be VALID is there, as it was written."""
        return (
            not probe.outcome.valid or finished_run(self.prober.folder / probe.folder) is not None
        )

    def _write(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes).write(self.prober.folder)
