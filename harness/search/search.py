"""A search that can be stopped: every probe that ended is on the disk, and is never made again.

The same command asks the same probes in the same order, so that what is recorded is taken up, and
what was going on when it was stopped is done anew.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.config import apply_overrides
from build_engine.errors import EnginebenchError, Interrupted, UsageError
from build_engine.memory import require_address_space
from build_engine.validation import counted
from harness.loadgen.job import Probe
from harness.plan.choice import PlanChoice
from harness.plan.measured import known_peaks
from harness.plan.plan import make_plan
from harness.rules.rounds import load_round
from harness.runs.asking import MIN_QPS, MOST_QPS
from harness.runs.run import now_utc
from harness.runs.scope import RunScope
from harness.search.foreseen import foretelling
from harness.search.highest import Goal, find_highest, rounded
from harness.search.outcome import ProbeOutcome, RuntimeLimits, Step
from harness.search.prober import HIDDEN, Prober
from harness.search.record import SEARCH, ProbeRecord, SearchRecord, Start, read_search
from harness.search.tuning import Tuning, candidates, tune
from harness.search.watch import most_over_early
from harness.studies.place import check_study_folder, clear, held
from harness.studies.turns import finished_run

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.unseen import Evaluated
    from harness.loadgen.settings import LoadgenPlan
    from harness.plan.asked import Asked
    from harness.progress import Progress
    from harness.rules.workload import Workload
    from harness.runs.engine_choice import EngineChoice
    from harness.search.choice import SearchChoice
    from harness.search.highest import Foretells

_BELOW_BURST, _ABOVE_BURST = 0.7, 1.2  # of a burst's rate: where to begin, and what none exceeds
_FURTHEST = 64.0  # from where it begins, in both directions, unless it is told

_BY_LOAD = 1 / 3  # the power of a load by which a rate follows
_BY_PLAN = "the plan's likely rate"

_WHOLE_RUNS = 2.3  # what all probes take together
_LEAST_QUERIES = 459  # of which none is beyond a limit

Told = Callable[[ProbeOutcome], None]


@dataclass(frozen=True)
class SearchPlan:
    """What is searched; all that can be refused has been."""

    choice: SearchChoice
    engine: EngineChoice
    workload: Workload
    evaluated: Evaluated

    @classmethod
    def of(cls, choice: SearchChoice, engine: EngineChoice, progress: Progress) -> SearchPlan:
        """The plan of a choice. Raises UsageErrors, and EnvironmentFault where the engine cannot be
        built here.
        """
        choice.check()
        if engine.emulate:
            raise UsageError("An emulated engine has no speed; leave out --emulate.")
        settings = engine.workload_settings
        evaluated = choice.run_choice(choice.qps).evaluated(settings, progress)
        engine.require_here()
        return cls(choice, engine, apply_overrides(choice.rules, settings), evaluated)

    def scope(self, rate: float | None, num_samples: int, *, own_set: bool = False) -> RunScope:
        """A whole run at a rate."""
        return RunScope(
            workload=self.workload,
            scenario=self.choice.asked_scenario,
            num_samples=num_samples,
            qps=rate,
            duration_s=self.choice.duration_s,
            own_set=own_set,
            round=load_round(self.choice.round),
        )

    def expected_s(self, rate: float | None) -> tuple[float, bool]:
        """Seconds that a search takes, for the most part, and whether it is more where no rate is
        known yet; without loading the engine.
        """
        scope = self.scope(rate, self.choice.count or self.workload.num_samples)
        if rate is None:
            return _WHOLE_RUNS * scope.min_duration_s, True
        queries = scope.plan("performance", Probe(0.0, 1.0, rate)).num_queries
        return _WHOLE_RUNS * queries / rate, False

    @cached_property
    def asked(self) -> Asked | None:
        """The engine as a plan is asked for it; None where too little is known."""
        engine = self.engine
        words = PlanChoice(
            model=engine.model,
            recipe=engine.recipe,
            target=engine.target,
            workload=self.choice.workload,
            settings=engine.set,
        )
        try:
            return words.asked(load_round(self.choice.round))[0]
        except EnginebenchError:  # it would be told where somebody asks for a plan
            return None

    @property
    def planned_rate(self) -> float | None:
        """What a plan takes for likely; None where too little is known."""
        if self.asked is None:
            return None
        chosen, target = load_round(self.choice.round), self.asked.target
        try:
            forecast = make_plan(self.asked, chosen, known_peaks(target)).forecast
        except EnginebenchError:  # as above
            return None
        rates = forecast.rates.get(self.choice.asked_scenario) if forecast else None
        return rates.likely.typical if rates and rates.likely.typical > 0 else None

    @cached_property
    def known_start(self) -> Start | None:
        """Where to begin, as far as it is known without a test."""
        if self.choice.qps is not None:
            return self._start(self.choice.qps, "as asked")
        planned = self.planned_rate
        return None if planned is None else self._start(planned, _BY_PLAN)

    def start_after(self, earlier: Start | None) -> Start | None:
        """Where to begin, or where an earlier command did: what a plan finds likely may change with
        the memory that is free.
        """
        known = self.known_start
        if earlier is None:
            return known
        if known is None:  # it began with a burst
            again = self.choice.highest is not None
            return self._start(earlier.rate, earlier.source) if again else earlier
        if known.source == earlier.source == _BY_PLAN:
            return self._start(earlier.rate, _BY_PLAN)
        return known

    def after_burst(self, samples_per_s: float) -> Start:
        """Where to begin by a burst."""
        source = f"a burst of {samples_per_s:.3g} samples/s"
        most = _ABOVE_BURST * samples_per_s
        return self._start(_BELOW_BURST * samples_per_s, source, most)

    def _start(self, rate: float, source: str, most: float | None = None) -> Start:
        highest = self.choice.highest or min(most or _FURTHEST * rate, MOST_QPS)
        rate = min(max(rate, MIN_QPS), highest)
        lowest = min(max(rate / _FURTHEST, MIN_QPS), highest)
        rate, lowest, highest = map(rounded, (rate, lowest, highest))
        return Start(rate=rate, source=source, lowest=lowest, highest=highest)


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

    Raises OutputError and UsageError before anything is built, RunFailed when a probe fails, and
    Interrupted when the user stops it; what ended stays.
    """
    check_study_folder(folder, plan.choice.dataset)
    require_address_space()
    with held(folder):
        if fresh:
            _forget(folder)
        earlier = earlier_search(folder)
        try:
            prober = _prober(plan, folder.absolute(), progress)
            return _Searching(plan, prober, told, _record(prober, plan, command, earlier)).go()
        except (Interrupted, KeyboardInterrupt):
            raise Interrupted(
                "Interrupted; the same command goes on where it was, with the probes in "
                f"{folder / SEARCH}."
            ) from None


def earlier_search(folder: Path) -> SearchRecord | None:
    """What an earlier command left in `folder`. Raises UsageError for a record that cannot be read
    or was changed.
    """
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


def _forget(folder: Path) -> None:
    """Remove what an earlier search left; only what bears its names."""
    (folder / SEARCH).unlink(missing_ok=True)
    for place in (folder / HIDDEN, *folder.glob("whole-*")):
        if place.is_dir():
            clear(place)


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
        start = self.record.start
        if start is None:
            self.prober.progress.phase("A burst, to know where to begin")
            start = self.plan.after_burst(self.prober.burst())
        self._write(start=start)
        goal = self._goal(start)
        if most_over_early(whole := goal.whole(start.rate)) < 0:
            raise UsageError(
                f"A run of {counted(whole, 'query', 'queries')} is too short for LoadGen's p99, "
                f"which needs {_LEAST_QUERIES}; raise --count or --duration."
            )
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
            whole=lambda rate: self._whole(rate).num_queries,
            most_over=most_over_early,
        )

    def _whole(self, rate: float) -> LoadgenPlan:
        """LoadGen's test of a whole run."""
        dataset = self.prober.dataset
        scope = self.plan.scope(rate, dataset.num_samples, own_set=dataset.record.own_set)
        return scope.plan("performance", Probe(0.0, 1.0, rate))

    def _foresight(self, tuned: RuntimeLimits | None) -> Foretells:
        limits, asked = tuned or self.prober.engine.limits, self.plan.asked
        if asked is not None:
            asked = replace(
                asked,
                max_batch_size=limits.max_batch_size,
                max_num_tokens=limits.max_num_tokens,
            )
        return foretelling(
            asked,
            self.prober.prompt_lengths,
            self.plan.workload.rules_of(self.plan.choice.asked_scenario),
            load_round(self.plan.choice.round).loadgen.seeds,
            self._whole,
            most_over_early,
        )

    def _ask(self, step: Step) -> ProbeOutcome:
        """The outcome of a probe that was made before, or is made now."""
        key = self.prober.key(step)
        known = self.record.probe(key)
        if known is None or not self._stands(known):
            self.prober.progress.phase(
                f"{step.kind.capitalize()} probe: {step.rate:g} queries/s, {step.queries:,} queries"
                + (f", {step.limits}" if step.limits else "")
            )
            outcome, place = self.prober.probe(step)
            known = ProbeRecord(
                key=key,
                outcome=outcome,
                folder=str(place.relative_to(self.prober.folder)),
                ended_utc=now_utc(),
            )
            self.record = self.record.with_probe(known)
            self._write()
        self.told(known.outcome)
        self.told_so_far.append(known.outcome)
        return known.outcome

    def _stands(self, probe: ProbeRecord) -> bool:
        """Whether a run that is told to be VALID is there, as it was written."""
        return (
            not probe.outcome.valid or finished_run(self.prober.folder / probe.folder) is not None
        )

    def _write(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes).write(self.prober.folder)
