"""A plan's engine in virtual time: its model, its rates beside the plan's, and their limits."""

from __future__ import annotations

import numpy as np
import pytest

from build_engine.errors import ConfigError
from build_engine.roofline.costs import Overhead
from build_engine.roofline.limits import Efficiency
from build_engine.roofline.peaks import Peaks, stated_peaks
from build_engine.roofline.work import Lengths
from harness.plan.choice import PlanChoice
from harness.plan.plan import EnginePlan, make_plan
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.simulation.engine import likely_engine, planned_engine
from harness.simulation.prompts import drawn_lengths
from harness.simulation.rehearsal import Trials, rehearse

ROUND = load_round(DEFAULT)
STEPS = Overhead(iteration_s=1e-3, prompt_token_s=0.0, answer_token_s=0.0, cached_token_s=0.0)
FEW = ("workload.num_samples=600",)


def planned(
    recipe: str = "int8_sq", target: str = "a30", settings: tuple[str, ...] = ()
) -> EnginePlan:
    choice = PlanChoice(
        model="llama3.1-8b", recipe=recipe, target=target, workload=None, settings=settings
    )
    return make_plan(choice.asked(ROUND)[0], ROUND)


def peaks_of(plan: EnginePlan) -> Peaks:
    peaks = stated_peaks(plan.asked.target).value
    assert peaks is not None
    return peaks


def test_the_engine_is_the_one_that_would_be_built() -> None:
    plan = planned()
    model = planned_engine(plan, peaks_of(plan), Efficiency(0.5, 0.8))
    assert model is not None
    assert (model.max_batch_size, model.max_num_tokens) == (
        plan.memory.limits.max_batch_size,
        plan.memory.limits.max_num_tokens,
    )
    assert model.kv_blocks * 32 * plan.memory.kv_token <= plan.memory.cache
    assert not model.chunked_context  # its cache is in INT8
    time = model.time
    assert time.linear_flops_per_token == pytest.approx(2 * 6.979e9, rel=0.001)
    assert time.head_flops_per_token == pytest.approx(2 * 0.525e9, rel=0.001)
    assert time.weight_bytes == pytest.approx(6.979e9 + 2 * 0.525e9, rel=0.001)
    assert (time.linear_flops_per_s, time.other_flops_per_s) == (330e12, 165e12)
    # of published results, what is lost of the bandwidth is in the arithmetic's efficiency
    assert (time.compute_efficiency, time.bandwidth_efficiency) == (0.5, 1.0)
    measured = planned_engine(plan, peaks_of(plan), Efficiency(0.5, 0.8, STEPS))
    assert measured is not None
    assert (measured.time.compute_efficiency, measured.time.bandwidth_efficiency) == (0.5, 0.8)


@pytest.mark.parametrize("recipe", ["int8_sq", "int8_wo", "int4_awq", "bf16"])
def test_a_whole_offline_run_agrees_with_the_plan(recipe: str) -> None:
    plan = planned(recipe)
    offline = next(rehearse(plan, peaks_of(plan), ROUND))
    assert offline.scenario is Scenario.OFFLINE
    assert offline.test is not None and plan.forecast is not None
    assert offline.test.num_queries == 13_368
    likely = plan.forecast.offline.likely.typical
    assert offline.test.metrics.tokens_per_s == pytest.approx(likely, rel=0.1)


@pytest.mark.not_counted
def test_rates_are_the_highest_within_the_limits() -> None:
    plan = planned(settings=FEW)
    peaks = peaks_of(plan)
    found = {each.scenario: each for each in rehearse(plan, peaks, ROUND)}
    assert set(found) == {Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE}
    trials = Trials.of(plan, peaks, ROUND)
    assert trials is not None
    for scenario in (Scenario.SERVER, Scenario.INTERACTIVE):
        rate, limits = found[scenario].target_qps, plan.asked.workload.rules_of(scenario)
        assert rate is not None
        assert trials.test(scenario, limits, rate)[1].valid
        assert not trials.test(scenario, limits, 1.03 * rate)[1].valid


def test_what_does_not_fit_is_not_simulated() -> None:
    plan = planned("bf16", "l4")
    slow = Peaks({"bf16": 1e9}, 1e9, "a machine that is too slow for any rate")
    assert planned_engine(plan, Peaks({}, 1e9, "nothing known"), Efficiency()) is None
    found = {each.scenario: each for each in rehearse(planned("bf16", "l4", FEW), slow, ROUND)}
    server = found[Scenario.SERVER]
    assert (server.target_qps, server.test) == (None, None)


def test_an_engine_that_cannot_be_simulated_is_a_mistake_of_ours_to_tell() -> None:
    choice = PlanChoice(
        model="newsbrief", recipe="int8_wo", target="cpu", workload=None, max_num_tokens="16"
    )
    peaks = Peaks({"bf16": 4e11, "fp32": 2e11}, 28e9, "measured here")
    with pytest.raises(ConfigError, match="cannot be simulated: `max_num_tokens` must hold"):
        likely_engine(choice.asked(ROUND)[0], peaks)


def test_prompts_have_the_mean_and_the_spread_of_the_workload() -> None:
    lengths = Lengths(prompt=870.6, answer=128, longest_prompt=2540)
    drawn = np.array(drawn_lengths(lengths, 20_000, 3))
    assert drawn.mean() == pytest.approx(870.6, rel=0.02)
    assert (drawn.astype(float) ** 2).mean() / drawn.mean() ** 2 == pytest.approx(1.25, rel=0.02)
    assert drawn.min() >= 16
    assert drawn.max() == 2540
    assert drawn_lengths(lengths, 5, 3) == drawn_lengths(lengths, 5, 3)
    steady = Lengths(prompt=99.6, answer=1, longest_prompt=200, spread=1.0)
    assert drawn_lengths(steady, 3, 3) == [100, 100, 100]
