"""The verdict: which rule failed, what was measured, what the limit is, and what to change."""

from __future__ import annotations

from typing import Any

import pytest

from harness.loadgen.logs import DetailLog
from harness.loadgen.settings import LoadgenPlan
from harness.verdict import Verdict, judge
from tests.harness.rehearsal import make_plan

SERVER: dict[str, Any] = {
    "effective_scenario": "Server",
    "result_validity": "VALID",
    "result_perf_constraints_met": True,
    "result_min_duration_met": True,
    "result_min_queries_met": True,
    "early_stopping_met": True,
    "result_query_count": 16,
    "result_completed_samples_per_sec": 8.0,
    "requested_server_ttft_latency": 2_000_000_000,
    "requested_server_tpot_latency": 100_000_000,
    "result_first_token_99.00_percentile_latency_ns": 2_500_000_000,
    "result_time_per_output_token_99.00_percentile_ns": 40_000_000,
}


def verdict(
    plan: LoadgenPlan | None = None,
    counts: tuple[int, ...] = (50,) * 16,
    errors: tuple[str, ...] = (),
    **changes: Any,
) -> Verdict:
    log = DetailLog({**SERVER, **changes}, errors, ())
    return judge(plan or make_plan("Server"), log, counts, max_new_tokens=128)


def test_a_test_that_keeps_every_rule_is_valid() -> None:
    assert verdict().sentence == "VALID"


def test_a_missed_latency_limit_gives_both_figures_both_limits_and_the_remedy() -> None:
    found = verdict(result_validity="INVALID", result_perf_constraints_met=False)
    assert found.sentence == (
        "INVALID because latency limits: measured TTFT 2500.0 ms, TPOT 40.00 ms at p99, the limit "
        "is TTFT 2000 ms, TPOT 100 ms at p99; lower --qps"
    )


@pytest.mark.parametrize(
    ("key", "rule"),
    [
        ("result_min_duration_met", "minimum duration"),
        ("result_min_queries_met", "minimum queries"),
        ("early_stopping_met", "early stopping"),
    ],
)
def test_each_of_loadgens_conditions_has_its_rule(key: str, rule: str) -> None:
    changes: dict[str, Any] = {"result_validity": "INVALID", key: False}
    found = verdict(**changes)
    assert [r.name for r in found.rules if not r.passed] == [rule]


def test_invalid_without_a_known_condition_is_still_invalid() -> None:
    found = verdict(result_validity="INVALID", result_invalid_reason="something new")
    assert not found.valid
    assert "something new" in found.sentence


def test_an_error_in_a_test_that_loadgen_calls_valid_makes_it_invalid() -> None:
    found = verdict(errors=("Attempted to complete a sample twice.",))
    assert "1 errors: Attempted to complete a sample twice." in found.sentence


def test_a_missing_answer_makes_it_invalid() -> None:
    assert "measured 15 answers, the limit is 16" in verdict(counts=(50,) * 15).sentence


@pytest.mark.parametrize("count", [0, 1, 129])
def test_an_answer_of_too_few_or_too_many_tokens_makes_it_invalid(count: int) -> None:
    found = verdict(counts=(50,) * 15 + (count,))
    assert [r.name for r in found.rules if not r.passed] == ["tokens of an answer"]


def test_an_accuracy_test_has_no_performance_conditions() -> None:
    plan = make_plan("Offline", "accuracy")
    found = judge(plan, DetailLog({"effective_scenario": "Offline"}, (), ()), (50,) * 16, 128)
    assert found.valid
    assert {r.name for r in found.rules} == {
        "no LoadGen errors",
        "every sample answered",
        "tokens of an answer",
    }
