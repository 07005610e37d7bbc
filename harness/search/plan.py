"""What is searched, where it begins, and how long it takes: all that is known before a probe."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError, UsageError
from harness.loadgen.job import Probe
from harness.machine.measured import known_peaks
from harness.plan.choice import asked_as_built
from harness.plan.plan import make_plan
from harness.rules.rounds import load_round
from harness.runs.asking import MIN_QPS, MOST_QPS
from harness.runs.scope import RunScope
from harness.search.highest import rounded
from harness.search.record import Start

if TYPE_CHECKING:
    from harness.dataset.unseen import Evaluated
    from harness.plan.asked import Asked
    from harness.progress import Progress
    from harness.rules.workload import Workload
    from harness.runs.engine_choice import EngineChoice
    from harness.search.choice import SearchChoice

_BELOW_BURST, _ABOVE_BURST = 0.7, 1.2  # of a burst's rate: where to begin, and what none exceeds
_FURTHEST = 64.0  # from where it begins, in both directions, unless it is told
_BY_PLAN = "the plan's likely rate"
_WHOLE_RUNS = 2.3  # what all probes take together


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
        return cls(choice, engine, choice.rules.with_settings(settings), evaluated)

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
        return asked_as_built(self.engine, self.choice.workload, load_round(self.choice.round))

    @property
    def planned_rate(self) -> float | None:
        """What a plan takes for likely; None where too little is known."""
        if self.asked is None:
            return None
        chosen, target = load_round(self.choice.round), self.asked.target
        try:
            forecast = make_plan(self.asked, chosen, known_peaks(target)).forecast
        except EnginebenchError:  # it would be told where somebody asks for a plan
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
        the memory that is free, and no burst is like another. How far it goes is this command's.
        """
        known = self.known_start
        if earlier is None or (known and not known.source == earlier.source == _BY_PLAN):
            return known
        return self._start(earlier.rate, earlier.source, earlier.burst)

    def after_burst(self, samples_per_s: float) -> Start:
        """Where to begin by a burst."""
        source = f"a burst of {samples_per_s:.3g} samples/s"
        return self._start(_BELOW_BURST * samples_per_s, source, samples_per_s)

    def _start(self, rate: float, source: str, burst: float | None = None) -> Start:
        most = _FURTHEST * rate if burst is None else _ABOVE_BURST * burst
        highest = self.choice.highest or min(most, MOST_QPS)
        rate = min(max(rate, MIN_QPS), highest)
        lowest = min(max(rate / _FURTHEST, MIN_QPS), highest)
        rate, lowest, highest = map(rounded, (rate, lowest, highest))
        return Start(rate=rate, source=source, lowest=lowest, highest=highest, burst=burst)
