"""A plan's engine under the load of its scenarios, in virtual time: how fast it is in Offline, and
the highest rate within the latency limits of the others. A plan's own rates go by means, and these
by LoadGen's percentiles. Accuracy is no part of it, as no answer has a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.loadgen.job import Probe
from harness.runs.scope import RunScope
from harness.simulation.early_stopping import most_over_early
from harness.simulation.engine import planned_engine
from harness.simulation.foresight import Foresight, Pace
from harness.simulation.prompts import drawn_lengths
from harness.simulation.simulated import SimulatedTest, simulate

if TYPE_CHECKING:
    from build_engine.roofline.peaks import Peaks
    from harness.loadgen.settings import LoadgenPlan
    from harness.plan.forecast import Forecast
    from harness.plan.plan import EnginePlan
    from harness.rules.limits import ScenarioLimits
    from harness.rules.rounds import Round
    from harness.rules.scenario import Scenario
    from harness.rules.verdict import Verdict
    from runtime.simulated.model import EngineModel

_FURTHEST = 64.0  # below the rate of Offline, a rate is not worth looking for
_STEP = 0.995


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One simulated test, and the verdict on its latencies: nothing else is there to be judged.
    Where there are latency limits it is that of the highest rate, `target_qps`, within them, of
    which LoadGen's early stopping is as sure as it asks; where no rate was, `test` is None, and the
    verdict is that of the lowest rate that was tried.
    """

    scenario: Scenario
    target_qps: float | None
    test: SimulatedTest | None
    verdict: Verdict


def rehearse(plan: EnginePlan, peaks: Peaks, chosen: Round) -> Iterator[Rehearsal]:
    """Each scenario of the plan's workload in which requests are in flight together, at the
    typical efficiency; none where the engine does not fit or no speed is known. Raises UsageError
    for an engine that cannot be simulated, and for requests that it could never answer.
    """
    trials = Trials.of(plan, peaks, chosen)
    if trials is None:
        return
    for scenario, rules in plan.asked.workload.scenarios.items():
        if rules.is_constrained:
            yield trials.highest(scenario, rules)
        elif not scenario.one_at_a_time:
            yield Rehearsal(scenario, None, *trials.test(scenario, rules, None))


@dataclass(frozen=True, slots=True)
class Trials:
    """Tests of one engine over a whole dataset."""

    plan: EnginePlan
    seen: Forecast
    model: EngineModel
    round: Round

    @classmethod
    def of(cls, plan: EnginePlan, peaks: Peaks, chosen: Round) -> Trials | None:
        """Those of a plan's engine; None where it does not fit or no speed is known."""
        model = planned_engine(plan, peaks)
        if model is None or plan.forecast is None:
            return None
        return cls(plan, plan.forecast, model, chosen)

    def highest(self, scenario: Scenario, limits: ScenarioLimits) -> Rehearsal:
        """That of the highest rate within the limits."""
        likely, most = self.seen.rates[scenario].likely.typical, self._samples_per_s
        lowest = most / _FURTHEST
        rate = self._foresight(limits).highest(
            lambda rate: self.loadgen(scenario, rate), Pace(), most_over_early, max(likely, lowest)
        )
        while rate > lowest:  # a percentile rises with the rate, but not in every thousandth
            test, verdict = self.test(scenario, limits, rate)
            if verdict.valid:
                return Rehearsal(scenario, rate, test, verdict)
            if not test.long_enough:  # and at lower rates there are fewer queries yet
                return Rehearsal(scenario, None, None, verdict)
            rate *= _STEP
        return Rehearsal(scenario, None, None, self.test(scenario, limits, lowest)[1])

    def _foresight(self, limits: ScenarioLimits) -> Foresight:
        assert limits.ttft_ms is not None and limits.tpot_ms is not None, "a scenario with a rate"
        prompts, answers = self.lengths
        return Foresight(
            model=self.model,
            prompts=prompts,
            answers=answers,
            seeds=self.round.loadgen.seeds,
            ttft_s=limits.ttft_ms / 1e3,
            tpot_s=limits.tpot_ms / 1e3,
        )

    def test(
        self, scenario: Scenario, limits: ScenarioLimits, rate: float | None
    ) -> tuple[SimulatedTest, Verdict]:
        """One performance test, and whether its latencies are within limits."""
        loadgen = self.loadgen(scenario, rate)
        test = simulate(loadgen, self.model, *self.lengths, self.round.loadgen.seeds)
        return test, test.verdict(loadgen, limits)

    def loadgen(self, scenario: Scenario, rate: float | None) -> LoadgenPlan:
        """The whole test of a scenario."""
        workload, alone = self.plan.asked.workload, self.seen.single_stream.likely_s.typical
        scope = RunScope(
            workload=workload,
            scenario=scenario,
            num_samples=workload.num_samples,
            qps=rate,
            round=self.round,
        )
        return scope.plan("performance", Probe(0.0, alone, self._samples_per_s))

    @property
    def lengths(self) -> tuple[list[int], list[int]]:
        """Tokens of the prompt and of the answer of each sample."""
        lengths, count = self.plan.asked.lengths, self.plan.asked.workload.num_samples
        return drawn_lengths(lengths, count, self.round.loadgen.seeds.qsl), [lengths.answer] * count

    @property
    def _samples_per_s(self) -> float:
        return self.seen.offline.likely.typical / self.plan.asked.lengths.answer
