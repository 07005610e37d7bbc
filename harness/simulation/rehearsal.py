"""A plan's engine under the load of its scenarios, in virtual time: how fast it is in Offline, and
the highest rate within the latency limits of the others. A plan's own rates go by means, and these
by LoadGen's percentiles. Accuracy is no part of it, as no answer has a text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.roofline.limits import HOST_S
from build_engine.roofline.memory import Elements
from harness.loadgen.job import Probe
from harness.plan.forecast import roofline, seen_efficiencies
from harness.runs.scope import RunScope
from harness.search.highest import Goal, find_highest, rounded
from harness.search.watch import Watch, most_over
from harness.simulation.simulated import SimulatedTest, simulate
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel

if TYPE_CHECKING:
    from build_engine.roofline.limits import Efficiency
    from build_engine.roofline.peaks import Peaks
    from build_engine.roofline.work import Lengths
    from harness.loadgen.settings import LoadgenPlan
    from harness.plan.forecast import Forecast
    from harness.plan.plan import EnginePlan
    from harness.rules.limits import ScenarioLimits
    from harness.rules.rounds import Round
    from harness.rules.scenario import Scenario
    from harness.rules.verdict import Verdict
    from harness.search.outcome import ProbeOutcome, Step
    from runtime.simulated.virtual import GiveUp

_BLOCK_TOKENS = 32  # of TensorRT-LLM's cache, by its own default
_SHORTEST = 16
_TOLERANCE = 0.03
_FURTHEST = 64.0  # below the rate of Offline, a rate is not worth looking for
_MOST_OF_OFFLINE = 1.2  # which none exceeds for long


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """One simulated test, and the verdict on its latencies: nothing else is there to be judged.
    Where there are latency limits it is that of the highest rate, `target_qps`, within them; where
    no rate was, `test` is None, and the verdict is that of the lowest rate that was tried.
    """

    scenario: Scenario
    target_qps: float | None
    test: SimulatedTest | None
    verdict: Verdict


def planned_engine(plan: EnginePlan, peaks: Peaks, reached: Efficiency) -> EngineModel | None:
    """The engine of a plan, as it would be built, on a machine of these peaks; None where it does
    not fit, or a peak is not known.
    """
    asked, memory = plan.asked, plan.memory
    config, limits = asked.model.config, roofline(asked, peaks, memory.at_once)
    if limits is None or not memory.fits:
        return None
    elements = Elements.of(config)
    time = TimeModel(
        linear_flops_per_token=2.0 * elements.linear,
        attention_flops_per_pair=4.0 * config.num_heads * config.head_dim * config.num_layers,
        head_flops_per_token=2.0 * elements.table,
        weight_bytes=limits.step_bytes,
        kv_bytes_per_token=limits.kv_token_bytes,
        linear_flops_per_s=limits.linear_peak,
        other_flops_per_s=limits.other_peak,
        bytes_per_s=limits.bandwidth,
        compute_efficiency=reached.compute,
        bandwidth_efficiency=reached.bandwidth,
        overhead_s=HOST_S,
    )
    return EngineModel(
        time=time,
        kv_blocks=memory.cache // (memory.kv_token * _BLOCK_TOKENS),
        tokens_per_block=_BLOCK_TOKENS,
        max_batch_size=memory.limits.max_batch_size,
        max_num_tokens=memory.limits.max_num_tokens,
        chunked_context=asked.storage.chunked,
    )


def rehearse(plan: EnginePlan, peaks: Peaks, chosen: Round) -> Iterator[Rehearsal]:
    """Each scenario of the plan's workload in which requests are in flight together, at the
    typical efficiency; none where the engine does not fit or no speed is known.
    """
    trials = Trials.of(plan, peaks, chosen)
    if trials is None:
        return
    for scenario, rules in plan.asked.workload.scenarios.items():
        if rules.is_constrained:
            yield trials.highest(scenario, rules)
        elif not scenario.one_at_a_time:
            yield Rehearsal(scenario, None, *trials.test(scenario, rules, None))


def prompts(lengths: Lengths, count: int, seed: int) -> list[int]:
    """So many lengths of prompts with the workload's mean and spread, in tokens: a gamma
    distribution, within the longest.
    """
    import numpy as np

    scale = lengths.prompt * (lengths.spread - 1)
    if scale == 0:
        return [round(lengths.prompt)] * count
    drawn = np.random.default_rng(seed).gamma(lengths.prompt / scale, scale, count)
    shortest = min(_SHORTEST, lengths.longest_prompt)
    found: list[int] = (
        np.clip(np.round(drawn), shortest, lengths.longest_prompt).astype(int).tolist()
    )
    return found


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
        model = planned_engine(plan, peaks, seen_efficiencies().typical)
        if model is None or plan.forecast is None:
            return None
        return cls(plan, plan.forecast, model, chosen)

    def highest(self, scenario: Scenario, limits: ScenarioLimits) -> Rehearsal:
        """That of the highest rate within the limits, as `enginebench search` finds it."""
        tests: dict[float, SimulatedTest] = {}

        def probe(step: Step) -> ProbeOutcome:
            outcome, tests[step.rate] = self.probe(scenario, limits, step)
            return outcome

        found = find_highest(self.goal(scenario), probe)
        rate = found.best.rate if found.best else min(tests)
        verdict = tests[rate].verdict(self._loadgen(scenario, rate), limits)
        if found.best is None:
            return Rehearsal(scenario, None, None, verdict)
        return Rehearsal(scenario, rate, tests[rate], verdict)

    def goal(self, scenario: Scenario) -> Goal:
        """The search for the highest rate, from the plan's on."""
        likely, most = self.seen.rates[scenario].likely.typical, self._samples_per_s
        return Goal(
            start=rounded(min(max(likely, most / _FURTHEST), most)),
            lowest=rounded(most / _FURTHEST),
            highest=rounded(_MOST_OF_OFFLINE * most),
            tolerance=_TOLERANCE,
            whole=lambda rate: self._loadgen(scenario, rate).num_queries,
            most_over=most_over,
        )

    def probe(
        self, scenario: Scenario, limits: ScenarioLimits, step: Step
    ) -> tuple[ProbeOutcome, SimulatedTest]:
        """A probe, and the test that it was."""
        assert limits.ttft_ms is not None and limits.tpot_ms is not None, "a scenario with a rate"
        watch = Watch(limits.ttft_ms / 1e3, limits.tpot_ms / 1e3, step.most_over)
        loadgen = self._loadgen(scenario, step.rate)
        if step.kind != "whole":
            loadgen = loadgen.shortened(step.queries)

        def give_up(ttft_s: float, latency_s: float, num_tokens: int) -> bool:
            watch.add(ttft_s, latency_s, num_tokens)
            return watch.lost

        test = self._simulated(loadgen, give_up)
        given_up = watch.num_answers < test.num_queries
        valid = not given_up and test.verdict(loadgen, limits).valid
        whole = valid if step.kind == "whole" else None
        return watch.outcome(step, given_up=given_up, valid=whole), test

    def test(
        self, scenario: Scenario, limits: ScenarioLimits, rate: float | None
    ) -> tuple[SimulatedTest, Verdict]:
        """One performance test, and whether its latencies are within limits."""
        loadgen = self._loadgen(scenario, rate)
        test = self._simulated(loadgen, None)
        return test, test.verdict(loadgen, limits)

    def _loadgen(self, scenario: Scenario, rate: float | None) -> LoadgenPlan:
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

    def _simulated(self, loadgen: LoadgenPlan, give_up: GiveUp | None) -> SimulatedTest:
        lengths, seeds = self.plan.asked.lengths, self.round.loadgen.seeds
        count = loadgen.num_samples
        drawn, answers = prompts(lengths, count, seeds.qsl), [lengths.answer] * count
        return simulate(loadgen, self.model, drawn, answers, seeds, give_up)

    @property
    def _samples_per_s(self) -> float:
        return self.seen.offline.likely.typical / self.plan.asked.lengths.answer
