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
from harness.simulation.simulated import SimulatedTest, simulate
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel

if TYPE_CHECKING:
    from build_engine.roofline.limits import Efficiency
    from build_engine.roofline.peaks import Peaks
    from build_engine.roofline.work import Lengths
    from harness.plan.forecast import Forecast
    from harness.plan.plan import EnginePlan
    from harness.rules.limits import ScenarioLimits
    from harness.rules.rounds import Round
    from harness.rules.scenario import Scenario
    from harness.rules.verdict import Verdict

_BLOCK_TOKENS = 32  # of TensorRT-LLM's cache, by its own default
_SHORTEST = 16
_TOLERANCE = 0.02


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
        """That of the highest rate within the limits, to a fiftieth: found by halving below the
        rate of Offline, which none exceeds for long.
        """
        best: Rehearsal | None = None
        low, high = 0.0, self._samples_per_s
        least = _TOLERANCE * high
        while high - low > _TOLERANCE * low and high > least:
            rate = (low + high) / 2
            test, verdict = self.test(scenario, limits, rate)
            if verdict.valid:
                low, best = rate, Rehearsal(scenario, rate, test, verdict)
            else:
                high = rate
        return best or Rehearsal(scenario, None, None, verdict)

    def test(
        self, scenario: Scenario, limits: ScenarioLimits, rate: float | None
    ) -> tuple[SimulatedTest, Verdict]:
        """One performance test, and whether its latencies are within limits."""
        asked, seeds = self.plan.asked, self.round.loadgen.seeds
        workload, lengths = asked.workload, asked.lengths
        count = workload.num_samples
        scope = RunScope(
            workload=workload, scenario=scenario, num_samples=count, qps=rate, round=self.round
        )
        alone_s = self.seen.single_stream.likely_s.typical
        loadgen = scope.plan("performance", Probe(0.0, alone_s, self._samples_per_s))
        drawn, answers = prompts(lengths, count, seeds.qsl), [lengths.answer] * count
        test = simulate(loadgen, self.model, drawn, answers, seeds)
        return test, test.verdict(loadgen, limits)

    @property
    def _samples_per_s(self) -> float:
        return self.seen.offline.likely.typical / self.plan.asked.lengths.answer
