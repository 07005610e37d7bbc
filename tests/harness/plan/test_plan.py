"""Plans: against published results, and what they say of engines that are refused or do not fit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from build_engine.checkpoint.known import resolve_architecture
from build_engine.errors import ConfigError, RecipeRefused
from build_engine.recipe import load_recipe, recipe_names
from build_engine.roofline.limits import Efficiency
from build_engine.roofline.peaks import Peaks, stated_peaks
from build_engine.roofline.published import PublishedOffline, load_published
from build_engine.target import load_target
from harness.plan.asked import Asked
from harness.plan.forecast import (
    Forecast,
    Spread,
    published_roofline,
    roofline,
    seen_efficiencies,
)
from harness.plan.memory import memory_plan
from harness.plan.plan import EnginePlan, make_plan, make_plans, require_some
from harness.plan.times import scenario_times
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.engine_choice import EngineChoice

ROUND = load_round(DEFAULT)
PUBLISHED = load_published("mlperf")
# Achieved / overlap limit of each published row as it was reckoned by hand, and one digit of the
# efficiency of the arithmetic for each GPU and software.
STATED = {
    "HPE": (0.48, 0.5),
    "Cisco": (0.42, 0.5),
    "QCT": (0.42, 0.5),
    "1 x H100 SXM": (0.34, 0.4),
    "1 x L40S": (0.26, 0.3),
}


def asked(target: str, recipe: str, model: str = "llama3.1-8b") -> Asked:
    return Asked(
        model=resolve_architecture(model),
        target=load_target(target),
        recipe=load_recipe(recipe),
        workload=load_workload(model),
    )


def planned(target: str, recipe: str) -> EnginePlan:
    return make_plan(asked(target, recipe), ROUND)


@pytest.mark.parametrize("row", PUBLISHED.offline, ids=lambda row: f"{row.submitter} {row.system}")
def test_published_offline_results_are_predicted(row: PublishedOffline) -> None:
    key = row.submitter if row.submitter in STATED else row.system
    share, reached = STATED[key]
    limits = published_roofline(PUBLISHED, row)
    assert limits.overlap_limit * share == pytest.approx(row.samples_per_s, rel=0.02)
    assert limits.offline(Efficiency(reached)) == pytest.approx(row.samples_per_s, rel=0.2)


def test_a_result_is_predicted_from_the_other_results() -> None:
    """Of one GPU type and software, whose efficiencies are alike."""
    rows = [row for row in PUBLISHED.offline if row.target == "h200-sxm"]
    for row in rows:
        others = [other for other in rows if other is not row]
        reached = [
            published_roofline(PUBLISHED, other).efficiency(other.samples_per_s) for other in others
        ]
        found = published_roofline(PUBLISHED, row).offline(Efficiency(sum(reached) / len(reached)))
        assert found == pytest.approx(row.samples_per_s, rel=0.2)


def test_efficiencies_follow_from_the_published_results() -> None:
    seen = seen_efficiencies()
    assert seen.low.compute < seen.typical.compute < seen.high.compute < 1
    assert seen.low.compute == pytest.approx(0.30, abs=0.01)
    assert seen.high.compute == pytest.approx(0.54, abs=0.01)
    assert 0.75 < seen.low.bandwidth <= seen.high.bandwidth < 1
    assert "L40S" in seen.source and "H200" in seen.source


def test_bf16_on_an_a30_has_little_room() -> None:
    plan, small = planned("a30", "bf16"), planned("a30", "int8_sq")
    assert plan.forecast is not None and small.forecast is not None
    assert plan.memory.requests == pytest.approx(59, rel=0.15)  # by hand, with 2 GB kept back
    assert small.memory.requests > 3 * plan.memory.requests
    assert 0 < plan.memory.longest_requests < plan.memory.requests
    few = plan.forecast.rates[Scenario.SERVER]
    assert few.likely.typical < 0.5 * small.forecast.rates[Scenario.SERVER].likely.typical


def test_a_full_cache_binds_server_by_memory() -> None:
    plan = planned("a30", "bf16")
    assert plan.forecast is not None
    less = load_target("a30").model_copy(update={"memory_gib": 18.0})
    tight = make_plan(replace(plan.asked, target=less), ROUND)
    assert tight.forecast is not None
    rate = tight.forecast.rates[Scenario.SERVER]
    assert rate.bound == "memory" and rate.wanted > tight.memory.at_once
    assert rate.likely.typical < plan.forecast.rates[Scenario.SERVER].likely.typical


def test_what_does_not_fit_has_no_speed_and_says_so() -> None:
    tiny = load_target("a30").model_copy(update={"memory_gib": 12.0})
    plan = make_plan(replace(asked("a30", "bf16"), target=tiny), ROUND)
    assert not plan.memory.fits and plan.memory.runtime < 0
    assert plan.forecast is None and "does not fit" in plan.no_forecast


def test_an_int8_cache_is_compared_with_a_chunked_one() -> None:
    plan = planned("a30", "int8_sq")
    other = plan.full_cache
    assert other is not None and plan.forecast is not None and other.forecast is not None
    assert not plan.asked.storage.chunked and other.asked.storage.chunked
    assert plan.memory.requests == pytest.approx(2 * other.memory.requests, rel=0.05)
    assert plan.memory.limits.max_num_tokens >= 2540 > other.memory.limits.max_num_tokens
    assert plan.forecast.longest_iteration_s > other.forecast.longest_iteration_s
    assert plan.better_cache is plan
    assert planned("a30", "int8_wo").full_cache is None


def test_of_two_caches_the_faster_is_the_better() -> None:
    plan = planned("a30", "int8_sq")
    assert plan.full_cache is not None
    turned = replace(plan.full_cache, full_cache=plan)
    assert turned.better_cache is plan


def test_a_refused_recipe_is_answered_with_a_ranking() -> None:
    refused = make_plans([asked("a30", "fp8")], ROUND, {})
    every = make_plans([asked("a30", name) for name in recipe_names()], ROUND, {})
    with pytest.raises(RecipeRefused) as caught:
        require_some(refused, lambda target: every)
    sentence = str(caught.value)
    by_rate, alone = sentence.split("SingleStream answer")
    assert "no FP8 tensor cores" in by_rate
    rated = by_rate.split("Offline there are")[1]
    assert rated.index("int8_sq`") < rated.index("int4_awq`") < rated.index("`bf16`")
    assert alone.index("int4_awq`") < alone.index("int8_sq`") < alone.index("`bf16`")
    assert "fp8`" not in rated + alone


def test_a_cpu_has_memory_and_no_speed_until_it_is_measured() -> None:
    engine = asked("cpu", "int8_wo", "newsbrief")
    plan = make_plan(engine, ROUND)
    assert plan.memory.fits and plan.forecast is None
    assert "differ from machine to machine" in plan.no_forecast
    peaks = Peaks({"bf16": 3.9e11, "fp32": 2e11}, 28e9, "measured here")
    measured = make_plans([engine], ROUND, {"cpu": peaks}).plans[0]
    assert measured.forecast is not None
    assert measured.forecast.peaks == "measured here"
    assert measured.forecast.offline.likely.low > 0
    partial = make_plan(engine, ROUND, Peaks({"int8": 1e12}, 28e9, "measured here"))
    assert partial.forecast is None and "has no peak for both" in partial.no_forecast


def test_runs_take_as_long_as_their_queries() -> None:
    plan = planned("a30", "int8_sq")
    assert plan.forecast is not None
    times = {each.scenario: each for each in plan.times}
    assert set(times) == set(plan.asked.workload.scenarios)
    offline = times[Scenario.OFFLINE]
    assert offline.queries == (13_368, 13_368)
    rates = plan.forecast.offline.likely
    assert offline.performance_s == pytest.approx(
        (13_368 * 128 / rates.high, 13_368 * 128 / rates.low)
    )
    alone = times[Scenario.SINGLE_STREAM]
    assert alone.performance_s[0] > offline.performance_s[1]
    server = times[Scenario.SERVER]
    assert server.performance_s[0] >= 600


@pytest.mark.parametrize(
    ("target", "recipe", "samples"),
    [
        ("h100-sxm", "int4_awq", 13_368),  # one pass or two
        ("h200-sxm", "fp8", 13_368),
        ("h200-sxm", "fp8", 1_000),  # tens of them
        ("a30", "int8_sq", 13_368),  # one
    ],
)
def test_runs_take_no_less_and_no_more_at_any_likely_speed(
    target: str, recipe: str, samples: int
) -> None:
    """LoadGen asks whole passes, so an engine that is a little faster may take far longer."""
    engine = asked(target, recipe)
    own = {"num_samples": samples, "benchmark": None}  # which nobody compares with a shipped one
    engine = replace(engine, workload=engine.workload.model_copy(update=own))
    seen = make_plan(engine, ROUND).forecast
    assert seen is not None

    def at(share: float) -> Forecast:
        """As if nothing else were likely than what lies this share of the way to the best."""
        return replace(
            seen,
            offline=replace(seen.offline, likely=_at(seen.offline.likely, share)),
            single_stream=replace(
                seen.single_stream, likely_s=_at(seen.single_stream.likely_s, share)
            ),
            rates={
                scenario: replace(rate, likely=_at(rate.likely, share))
                for scenario, rate in seen.rates.items()
            },
        )

    found, _ = scenario_times(engine, seen, ROUND)
    speeds = [scenario_times(engine, at(step / 100), ROUND)[0] for step in range(101)]
    assert found and all(len(each) == len(found) for each in speeds)
    for number, times in enumerate(found):
        for name in ("performance_s", "accuracy_s", "queries"):
            ends = [getattr(each[number], name)[0] for each in speeds]
            least, most = getattr(times, name)
            # a turn lies between two of these speeds, and is found to a part in thousands
            assert min(ends) * 0.99 <= least <= min(ends) * 1.001, (times.scenario, name)
            assert max(ends) * 0.999 <= most <= max(ends) * 1.01, (times.scenario, name)


def _at(spread: Spread, share: float) -> Spread:
    return Spread(*[(1 - share) * spread.low + share * spread.high] * 3)


def test_a_scenario_that_cannot_be_served_has_no_run() -> None:
    plan = planned("l4", "bf16")
    assert plan.forecast is not None
    rate = plan.forecast.rates[Scenario.INTERACTIVE]
    assert rate.likely.high == 0 and rate.bound == "TPOT"
    assert Scenario.INTERACTIVE not in {each.scenario for each in plan.times}
    (untimed,) = plan.untimed
    assert (untimed.scenario, untimed.reason) == (
        Scenario.INTERACTIVE,
        "no rate keeps its limit of TPOT",
    )


def test_a_scenario_that_is_served_at_some_efficiencies_only_says_so() -> None:
    """Its TTFT lies between those of the slowest engine and of the others."""
    plan = planned("a30", "bf16")
    assert plan.forecast is not None and plan.untimed == []
    peaks = stated_peaks(plan.asked.target).value
    assert peaks is not None
    limits = roofline(plan.asked, peaks, plan.memory.at_once)
    assert limits is not None
    seen = seen_efficiencies()
    slow, typical = (1e3 * limits.ttft_s(each) for each in (seen.low, seen.typical))
    rules = plan.asked.workload.scenarios[Scenario.INTERACTIVE]
    tight = rules.model_copy(update={"ttft_ms": (slow + typical) / 2})
    scenarios = {**plan.asked.workload.scenarios, Scenario.INTERACTIVE: tight}
    workload = plan.asked.workload.model_copy(update={"scenarios": scenarios})
    found = make_plan(replace(plan.asked, workload=workload), ROUND)
    assert found.forecast is not None
    likely = found.forecast.rates[Scenario.INTERACTIVE].likely
    assert likely.low == 0 < likely.typical
    (untimed,) = found.untimed
    assert untimed.reason == "at the least efficiency that is likely no rate keeps its limits"
    assert Scenario.INTERACTIVE not in {each.scenario for each in found.times}


@pytest.mark.parametrize(
    ("positions", "prompt", "longest", "answer"),
    [(2048, 870.6, 1920, 128), (512, 384, 384, 128), (128, 64, 64, 64), (2, 1, 1, 1)],
)
def test_requests_are_as_long_as_the_positions_allow_and_build_takes(
    positions: int, prompt: float, longest: int, answer: int
) -> None:
    engine = asked("a30", "bf16")
    config = replace(engine.model.config, max_position_embeddings=positions)
    short = replace(engine, model=replace(engine.model, config=config))
    plan = make_plan(short, ROUND)
    lengths, limits = plan.asked.lengths, plan.memory.limits
    assert (lengths.prompt, lengths.longest_prompt, lengths.answer) == (prompt, longest, answer)
    assert (limits.max_input_len, limits.max_new_tokens) == (longest, answer)
    choice = EngineChoice(model="llama3.1-8b", recipe="bf16", target="a30")
    built = choice.sized("it", config, short.workload, short.recipe, short.target)
    assert built.limits == limits
    assert f"as far as the model's {positions} positions allow" in built.why.max_input_len
    assert plan.forecast is not None and plan.forecast.offline.likely.low > 0
    assert plan.times or plan.untimed
    assert short.shorter is not None
    assert f"has {positions:,} positions: this is for prompts of up to {longest:,}" in short.shorter


def test_what_the_positions_hold_is_not_shortened() -> None:
    engine = asked("a30", "bf16")
    assert engine.shorter is None
    assert engine.lengths == engine.workload.lengths
    config = replace(engine.model.config, max_position_embeddings=2540 + 128)
    just = replace(engine, model=replace(engine.model, config=config))
    assert just.shorter is None and just.lengths == engine.lengths


def test_a_model_of_one_position_has_no_plan() -> None:
    engine = asked("a30", "bf16")
    config = replace(engine.model.config, max_position_embeddings=1)
    with pytest.raises(ConfigError, match="leaves no room for an answer"):
        make_plan(replace(engine, model=replace(engine.model, config=config)), ROUND)


def test_unknown_lengths_are_asked_for() -> None:
    engine = asked("a30", "bf16")
    without = engine.workload.model_copy(update={"mean_input_tokens": None})
    with pytest.raises(ConfigError, match=r"--set workload\.mean_input_tokens=N"):
        make_plan(replace(engine, workload=without), ROUND)


def test_longer_prompts_leave_fewer_requests() -> None:
    engine = asked("a30", "bf16")
    longer = engine.workload.with_settings(["mean_input_tokens=2000"])
    many, few = (memory_plan(each) for each in (engine, replace(engine, workload=longer)))
    assert few.requests < many.requests
    assert few.longest_requests == many.longest_requests


def test_the_largest_iteration_leaves_room_for_the_batch() -> None:
    memory = memory_plan(asked("a30", "bf16"))
    assert memory.most_num_tokens >= memory.limits.max_num_tokens
    assert memory.at_once == min(memory.requests, memory.limits.max_batch_size)
