"""A performance test in virtual time: LoadGen's figures, by hand and beside LoadGen itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from build_engine.errors import UsageError
from harness.loadgen import logs
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.progress import NullProgress
from harness.rules.limits import ScenarioLimits
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.simulation.simulated import SimulatedTest, simulate
from runtime.simulated import SimulatedSpec
from runtime.simulated.model import EngineModel
from tests.harness.rehearsal import make_dataset, make_job
from tests.runtime.simulated.models import small

SEEDS = load_round(DEFAULT).loadgen.seeds
PLAN = LoadgenPlan(
    scenario=Scenario.OFFLINE,
    mode="performance",
    model="newsbrief",
    num_samples=4,
    min_duration_s=0.0,
    min_query_count=4,
    target_qps=1.0,
    equal_issue=True,
)
LIMITS = ScenarioLimits(metric="result_completed_tokens_per_second", ttft_ms=1000.0, tpot_ms=10.5)


def run(plan: LoadgenPlan, model: EngineModel | None = None, answer: int = 3) -> SimulatedTest:
    count = plan.num_samples
    return simulate(plan, model or small(), [4] * count, [answer] * count, SEEDS)


def test_offline_figures_are_of_the_whole_and_have_no_first_token() -> None:
    done = run(PLAN)  # one iteration of 0.01 s for all prompts, and two more
    assert (done.mark, done.num_queries, done.num_iterations) == ("simulated", 4, 3)
    assert done.duration_s == pytest.approx(0.03)
    assert set(done.metrics.by_name) == {
        "samples_per_s",
        "tokens_per_s",
        *(f"latency_p{p}_s" for p in (50, 90, 99)),
    }
    assert done.metrics.samples_per_s == pytest.approx(4 / 0.03)
    assert done.metrics.tokens_per_s == pytest.approx(12 / 0.03)
    assert done.metrics.latency_p99_s == pytest.approx(0.03)


def test_answers_of_one_token_fail_for_their_tpot_alone() -> None:
    plan = replace(PLAN, scenario=Scenario.SERVER, min_query_count=600, target_qps=20.0)
    done = run(plan, answer=1)
    assert done.metrics.tpot_p99_s is None
    failed = [rule.name for rule in done.verdict(plan, LIMITS).rules if not rule.passed]
    assert failed == ["TPOT at p99"]  # as LoadGen has it, and not for too few queries


def test_single_stream_waits_for_each_answer() -> None:
    done = run(replace(PLAN, scenario=Scenario.SINGLE_STREAM, min_query_count=7))
    assert (done.num_queries, done.num_iterations) == (8, 24)
    assert done.duration_s == pytest.approx(0.24)
    assert done.metrics.ttft_p90_s == pytest.approx(0.01)
    assert done.metrics.tpot_p50_s == pytest.approx(0.01)


def test_an_answer_of_one_token_has_no_time_per_further_token() -> None:
    done = run(replace(PLAN, scenario=Scenario.SINGLE_STREAM), answer=1)
    assert done.metrics.tpot_p99_s is None
    assert done.metrics.ttft_p99_s == done.metrics.latency_p99_s == pytest.approx(0.01)


def test_server_is_judged_by_its_latencies() -> None:
    plan = replace(PLAN, scenario=Scenario.SERVER, min_query_count=400, target_qps=20.0)
    plan = replace(plan, min_query_count=460)
    verdict = run(plan).verdict(plan, LIMITS)
    assert [rule.name for rule in verdict.rules] == [
        "TTFT at p99",
        "TPOT at p99",
        "early stopping",
    ]
    assert verdict.valid
    flooded = replace(plan, target_qps=500.0)  # four are in flight, for three iterations each
    lost = run(flooded).verdict(flooded, LIMITS)
    assert [rule.passed for rule in lost.rules] == [False, True, False]
    assert "lower --qps" in lost.sentence


def test_a_test_that_p99_passes_may_not_be_enough_for_early_stopping() -> None:
    """400 answers are too few whatever they are, and of 460 none may be beyond a limit."""
    plan = replace(PLAN, scenario=Scenario.SERVER, min_query_count=400, target_qps=20.0)
    short = run(plan)
    assert not short.long_enough
    verdict = short.verdict(plan, LIMITS)
    assert [rule.passed for rule in verdict.rules] == [True, True, False]
    assert "early stopping: measured 400 queries" in verdict.sentence
    assert "run more queries or lower --qps" in verdict.sentence
    plan = replace(plan, min_query_count=460)
    busy = replace(plan, target_qps=100.0)
    done = run(busy)
    worst = done.early_ttft_s
    assert worst is not None and done.metrics.ttft_p99_s is not None
    assert worst > done.metrics.ttft_p99_s  # the worst of 460, beside the fourth worst
    between = LIMITS.model_copy(
        update={"ttft_ms": 1e3 * (worst + done.metrics.ttft_p99_s) / 2, "tpot_ms": 1e4}
    )
    assert [rule.passed for rule in done.verdict(busy, between).rules] == [True, True, False]
    kept = between.model_copy(update={"ttft_ms": 1e3 * worst})
    assert done.verdict(busy, kept).valid


def test_lengths_are_those_of_every_sample() -> None:
    with pytest.raises(UsageError, match="3 prompts and 4 answers are given for 4 samples"):
        simulate(PLAN, small(), [4] * 3, [3] * 4, SEEDS)


def test_the_same_seeds_give_the_same_test() -> None:
    plan = replace(PLAN, scenario=Scenario.SERVER, min_query_count=200, target_qps=60.0)
    other = SEEDS.model_copy(update={"schedule": SEEDS.schedule + 1})
    lengths = [4, 8, 12, 3], [3, 2, 8, 5]
    first = simulate(plan, small(), *lengths, SEEDS)
    assert first == simulate(plan, small(), *lengths, SEEDS)
    assert first.metrics != simulate(plan, small(), *lengths, other).metrics


def test_loadgen_in_real_time_measures_what_virtual_time_foretells(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")  # prompts of 5 to 20 tokens
    plan = replace(
        PLAN,
        scenario=Scenario.SERVER,
        num_samples=dataset.num_samples,
        min_query_count=160,
        target_qps=80.0,
        ttft_ms=5000.0,
        tpot_ms=500.0,
    )
    model = small(kv_blocks=100, max_num_tokens=64)
    foretold = simulate(plan, model, [5 + i % 16 for i in range(16)], [8] * 16, SEEDS)
    job = make_job(dataset, SimulatedSpec(num_tokens=8, engine=model))
    (tmp_path / "test").mkdir()
    outcome = run_test(job, lambda probe: plan, tmp_path / "test", NullProgress())
    assert outcome.status == "complete", outcome.cause
    measured = logs.read_detail(tmp_path / "test")
    assert measured.num_queries == foretold.num_queries
    # four in flight for eight iterations of 0.01 s: half of what comes, so all of it queues
    told, found = foretold.metrics, measured.metrics()
    assert found.samples_per_s == pytest.approx(told.samples_per_s, rel=0.15)
    assert found.latency_p50_s == pytest.approx(told.latency_p50_s, rel=0.15)
    assert np.isclose(found.tpot_p50_s or 0.0, 0.01, rtol=0.3)
