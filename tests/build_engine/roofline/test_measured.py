"""Measured peaks: rates by rows, what steps cost, and limits with both, by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from build_engine.checkpoint.known import resolve_architecture
from build_engine.openvino.sizes import storage
from build_engine.recipe import load_recipe
from build_engine.roofline.costs import StepCosts, StepTimes, activation_elements, step_costs
from build_engine.roofline.engine import engine_roofline, reached_here
from build_engine.roofline.limits import Efficiency, Roofline
from build_engine.roofline.memory import Elements, Weights
from build_engine.roofline.peaks import MeasuredSteps, Peaks
from build_engine.roofline.rate import Rate
from build_engine.roofline.work import Lengths, Work

MODEL = resolve_architecture("newsbrief").config
LENGTHS = Lengths(prompt=200, answer=101, longest_prompt=640)
RATE = Rate(((1, 1e9), (16, 4e9), (2048, 8e9)))
COSTS = StepCosts(
    iteration_s=2e-4, layer_s=1e-5, element_s=1e-9, answer_s=2e-5, logit_s=1e-9, cached_s=1e-11
)


def test_seconds_of_products_grow_evenly_between_two_points() -> None:
    assert [RATE.at(rows) for rows in (0.5, 1, 16, 2048, 9999)] == [1e9, 1e9, 4e9, 8e9, 8e9]
    # 1 row takes 1 ns and 16 take 4, so 6 take 2
    assert RATE.at(6) == pytest.approx(6 / 2e-9)
    assert RATE.best == 8e9
    assert Rate.flat(5.0).at(1) == Rate.flat(5.0).at(100) == 5.0


def _times(layers: int, vocabulary: int) -> StepTimes:
    """What engines would show on a machine of `COSTS`."""
    config = replace(MODEL, num_layers=layers, vocab_size=vocabulary)
    cost = COSTS.of(config)
    return StepTimes(
        config=config,
        batch=64,
        one_s=cost.iteration_s + cost.answer_token_s,
        batch_s=cost.iteration_s + 64 * cost.answer_token_s,
        prompt_token_s=cost.prompt_token_s,
    )


def test_costs_are_found_again_in_the_steps_of_two_engines() -> None:
    found = step_costs(_times(4, 4096), _times(16, 32768), COSTS.cached_s)
    for name in COSTS.__slots__:
        assert getattr(found, name) == pytest.approx(getattr(COSTS, name)), name


def test_noise_makes_no_cost_negative() -> None:
    few, many = _times(4, 4096), _times(16, 32768)
    quick = replace(many, one_s=0.0, batch_s=0.0)
    slow = replace(few, prompt_token_s=-1.0)
    found = step_costs(slow, quick, -1.0)
    assert min(getattr(found, name) for name in COSTS.__slots__) == 0


def test_costs_of_an_engine_by_hand() -> None:
    cost = COSTS.of(MODEL)
    elements = MODEL.num_layers * activation_elements(MODEL)
    assert elements == 4 * (2 * 256 + 2 * 768)
    assert cost.iteration_s == pytest.approx(2e-4 + 4e-5)
    assert cost.prompt_token_s == pytest.approx(elements * 1e-9)
    assert cost.answer_token_s == pytest.approx(elements * 1e-9 + 2e-5 + 4096e-9)
    assert cost.cached_token_s == pytest.approx(Elements.of(MODEL).kv_token * 1e-11)


def _peaks(**changes: object) -> Peaks:
    known = Peaks({"bf16": 8e9, "fp32": 8e9}, 1e9, "here", {"bf16": RATE, "fp32": RATE})
    return replace(known, **changes)  # type: ignore[arg-type]


def _limits(recipe: str, peaks: Peaks) -> Roofline:
    found = engine_roofline(MODEL, storage(load_recipe(recipe), MODEL), LENGTHS, peaks, 16)
    assert found is not None
    return found


def test_answers_are_computed_at_the_speed_of_few_rows() -> None:
    limits, work = _limits("bf16", _peaks()), Work.of(MODEL, LENGTHS)
    prompt, answer = work.prompt_linear + work.prompt_other, work.answer_linear + work.answer_other
    assert limits.prompt_s == pytest.approx(prompt / 8e9)
    assert limits.answer_s == pytest.approx(answer / 4e9)
    assert limits.compute_s == pytest.approx(prompt / 8e9 + answer / 4e9)
    assert limits.tpot_s() == pytest.approx(answer / 100 / 1e9)  # one row, slower than the traffic


def test_weights_that_the_cache_holds_are_not_read_from_memory() -> None:
    stored = storage(load_recipe("bf16"), MODEL)
    size = Weights.of(Elements.of(MODEL), stored).read_per_step
    assert _limits("bf16", _peaks(cache_bytes=size - 1)).step_bytes == size
    assert _limits("bf16", _peaks(cache_bytes=size)).step_bytes == 0


def test_what_steps_cost_is_added_to_what_is_likely() -> None:
    limits, cost = _limits("bf16", _peaks()), COSTS.of(MODEL)
    without, reached = Efficiency(0.5, 1.0), Efficiency(0.5, 1.0, cost)
    beside_s = 100 * cost.iteration_s / 16 + 200 * cost.prompt_token_s
    beside_s += 101 * cost.answer_token_s + limits.work.kv_tokens * cost.cached_token_s
    assert 1 / limits.offline(reached) == pytest.approx(1 / limits.offline(without) + beside_s)
    assert limits.ttft_s(reached) > limits.ttft_s(without)
    assert limits.tpot_s(reached) > limits.tpot_s(without)
    dear = replace(reached, overhead=replace(cost, answer_token_s=10 * cost.answer_token_s))
    assert limits.rate(dear, 10, 1).queries_per_s < limits.rate(reached, 10, 1).queries_per_s


def test_the_bandwidth_that_was_measured_is_what_requests_share() -> None:
    """In Offline, in a rate and in an iteration alike: as if the memory were so much slower."""
    limits, cost = _limits("bf16", _peaks()), COSTS.of(MODEL)
    slower = replace(limits, bandwidth=0.4 * limits.bandwidth)
    reached, whole = Efficiency(0.5, 0.4, cost), Efficiency(0.5, 1.0, cost)
    assert limits.offline(reached) == pytest.approx(slower.offline(whole))
    assert limits.iteration_s(512, reached) == pytest.approx(slower.iteration_s(512, whole))
    found, expected = limits.rate(reached, 10, 1), slower.rate(whole, 10, 1)
    assert found.queries_per_s == pytest.approx(expected.queries_per_s)
    assert found.wanted == pytest.approx(expected.wanted)
    assert found.bound == expected.bound


def test_published_efficiencies_have_the_losses_of_the_bandwidth_in_them() -> None:
    limits = _limits("bf16", _peaks())
    reached, whole = Efficiency(0.5, 0.4), Efficiency(0.5, 1.0)
    assert limits.offline(reached) == limits.offline(whole)
    assert limits.iteration_s(512, reached) == limits.iteration_s(512, whole)
    assert limits.rate(reached, 10, 1) == limits.rate(whole, 10, 1)
    assert limits.tpot_s(reached) > limits.tpot_s(whole)  # of a request alone


def test_products_of_narrow_weights_have_their_own_speed() -> None:
    slow = Rate(((1, 5e8), (2048, 2e9)))
    steps = MeasuredSteps(COSTS, (0.5, 0.6), (0.8, 0.9), {"int8": slow, "bf16": RATE})
    for recipe, best in (("int8_wo", 2e9), ("bf16", 8e9)):
        limits = _limits(recipe, _peaks())
        likely, seen = reached_here(limits, MODEL, load_recipe(recipe), steps)
        assert likely.linear_peak == best and limits.linear_peak == 8e9
        shares = [(each.compute, each.bandwidth) for each in (seen.low, seen.typical, seen.high)]
        assert shares == [(0.5, 0.6), (0.8, 0.9), (1.0, 1.0)]
        assert seen.low.overhead == COSTS.of(MODEL)
