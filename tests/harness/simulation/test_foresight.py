"""What is foretold of a test, against the test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.loadgen.settings import LoadgenPlan
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.simulation.foresight import Foresight, Pace, Shown, p99_over
from harness.simulation.simulated import simulate
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel
from tests.runtime.simulated.models import PLAIN

SEEDS = load_round(DEFAULT).loadgen.seeds
SAMPLES = 400
TTFT_S, TPOT_S = 300.0, 120.0
TIME = PLAIN.model_copy(update={"overhead_s": 0.5})
MODEL = EngineModel(time=TIME, kv_blocks=4000, max_batch_size=32, max_num_tokens=512)
FORESIGHT = Foresight(
    model=MODEL,
    prompts=[20 + 7 * (number % 13) for number in range(SAMPLES)],
    answers=[8] * SAMPLES,
    seeds=SEEDS,
    ttft_s=TTFT_S,
    tpot_s=TPOT_S,
)


def server(rate: float) -> LoadgenPlan:
    return LoadgenPlan(
        scenario=Scenario.SERVER,
        mode="performance",
        model="some",
        num_samples=SAMPLES,
        min_duration_s=0.0,
        min_query_count=SAMPLES,
        target_qps=rate,
        equal_issue=True,
    )


def shown(plan: LoadgenPlan, pace: Pace, answers: int, time: TimeModel = TIME) -> Shown:
    """What a test of an engine of this pace shows by about so many answers."""
    answered: list[tuple[float, float]] = []

    def give_up(ttft_s: float, latency_s: float, num_tokens: int) -> bool:
        answered.append((ttft_s / TTFT_S, (latency_s - ttft_s) / (num_tokens - 1) / TPOT_S))
        return len(answered) >= answers

    slowed = time.slowed(pace.arithmetic, pace.memory)
    model = MODEL.model_copy(update={"time": slowed})
    simulate(plan, model, FORESIGHT.prompts, FORESIGHT.answers, SEEDS, give_up)
    count = len(answered)
    ttfts, tpots = (sorted(which) for which in zip(*answered, strict=True))
    load = max(ttfts[count * 99 // 100], tpots[count * 99 // 100])
    return Shown(count, load, (ttfts[count // 2], tpots[count // 2]))


@pytest.mark.not_counted
@pytest.mark.parametrize("slower", [0.2, 1.0, 1.7, 90.0])
@pytest.mark.parametrize("answers", [120, SAMPLES])
@pytest.mark.parametrize("shorten", [lambda plan: plan, lambda plan: plan.shortened(300)])
def test_a_probe_tells_how_slow_an_engine_is(
    slower: float, answers: int, shorten: Callable[[LoadgenPlan], LoadgenPlan]
) -> None:
    plan = shorten(server(0.05 / slower))
    seen = shown(plan, Pace(slower, slower), answers)
    for told in (seen, replace(seen, middle=None)):
        found = FORESIGHT.pace(plan, told)
        assert found.arithmetic == pytest.approx(slower, rel=0.02)
        assert found.memory == pytest.approx(slower, rel=0.02)


@pytest.mark.parametrize("pace", [Pace(1.3, 0.8), Pace(0.7, 1.2), Pace(4.0, 3.0)])
def test_a_probe_tells_arithmetic_from_memory(pace: Pace) -> None:
    """By its middle latencies, so that what is foretold of another load is nearer than by the load
    at p99 alone.
    """
    time = TIME.model_copy(update={"weight_bytes": 600.0, "bytes_per_s": 100.0})
    foresight = replace(FORESIGHT, model=MODEL.model_copy(update={"time": time}))
    plan = server(0.004 / pace.arithmetic)
    seen = shown(plan, pace, SAMPLES, time)
    told, untold = foresight.pace(plan, seen), foresight.pace(plan, replace(seen, middle=None))
    assert untold.skew == 0.0
    assert abs(told.skew - pace.skew) < abs(pace.skew) / 2
    faster = server(0.008 / pace.arithmetic)
    loads = [foresight.load(faster, each, p99_over) for each in (pace, told, untold)]
    assert abs(loads[1] / loads[0] - 1) < abs(loads[2] / loads[0] - 1)


@pytest.mark.parametrize("slower", [0.25, 0.5, 1.0])
def test_the_highest_rate_is_at_the_limit(slower: float) -> None:
    pace = Pace(slower, slower)
    rate = FORESIGHT.highest(server, pace, p99_over, near=0.01)
    assert FORESIGHT.load(server(rate * 0.995), pace, p99_over) < 1.0
    assert FORESIGHT.load(server(rate * 1.02), pace, p99_over) >= 1.0


def test_a_load_below_one_leaves_no_more_beyond_than_are_allowed() -> None:
    """LoadGen's p99, and nothing beyond at all, which is harder."""
    rate = FORESIGHT.highest(server, Pace(), lambda queries: 0, near=0.01)
    assert rate < FORESIGHT.highest(server, Pace(), p99_over, near=0.01)
    load = FORESIGHT.load(server(0.05), Pace(), p99_over)
    assert load == shown(server(0.05), Pace(), SAMPLES).load


def test_of_a_limit_that_is_never_met_the_furthest_is_told() -> None:
    hopeless = replace(FORESIGHT, tpot_s=1e-9)
    assert hopeless.highest(server, Pace(), p99_over, near=1.0) < 1e-3
