"""From a workload to the plan of a LoadGen test."""

from __future__ import annotations

import dataclasses
import math

import pytest

from build_engine.config import apply_overrides
from harness.loadgen.job import Probe
from harness.rules.scenario import Scenario
from harness.rules.workload import Workload, load_workload
from harness.runs.scope import RunScope

PROBE = Probe(load_s=1.0, latency_s=0.25, samples_per_s=10.0)
OFFICIAL = load_workload("llama3.1-8b")
BUNDLED = load_workload("newsbrief")


def test_a_whole_official_run_keeps_loadgens_counts_and_the_minimum_duration() -> None:
    scope = RunScope(workload=OFFICIAL, scenario=Scenario.OFFLINE, num_samples=13368)
    plan = scope.plan("performance", PROBE)
    assert not scope.trial
    assert (plan.model, plan.min_duration_s, plan.min_query_count) == ("llama3_1-8b", 600.0, 13368)
    assert plan.num_queries == 13368  # one pass, because the warm-up's rate is low
    assert plan.builtin_limits
    assert "sample_concatenate_permutation" not in plan.user_conf


@pytest.mark.parametrize("workload", [OFFICIAL, BUNDLED], ids=lambda each: each.name)
@pytest.mark.parametrize(
    ("rate", "passes"),
    # 13,368 samples last 600 s and more at up to 20.25/s, by a tenth more than the warm-up says
    [(5.0, 1.0), (16.0, 1.0), (20.2, 1.0), (20.3, 1.25), (100.0, 6.2)],
)
def test_offline_is_one_pass_if_that_lasts_long_enough(
    workload: Workload, rate: float, passes: float
) -> None:
    scope = RunScope(workload=workload, scenario=Scenario.OFFLINE, num_samples=13368)
    plan = scope.plan("performance", Probe(1.0, 0.25, rate))
    least = math.ceil(passes) if workload.equal_issue else passes
    assert plan.num_queries / 13368 == pytest.approx(least, abs=0.05)


def test_rates_have_no_more_digits_than_user_conf() -> None:
    scope = RunScope(
        workload=BUNDLED, scenario=Scenario.OFFLINE, num_samples=13368, qps=813.6364888
    )
    plan = scope.plan("performance", PROBE)
    assert plan.target_qps == 813.636
    assert "target_qps = 813.636\n" in plan.user_conf
    assert plan.num_queries == int(1.1 * 600 * 813.636)


def test_single_stream_by_the_clock_leaves_room_for_a_faster_engine() -> None:
    whole = RunScope(workload=BUNDLED, scenario=Scenario.SINGLE_STREAM, num_samples=13368)
    plan = whole.plan("performance", PROBE)
    assert f"target_latency = {PROBE.latency_s * 1e3 / 2:g}\n" in plan.user_conf
    # what is announced is what the clock will allow, not what LoadGen is told to have ready
    assert plan.num_queries == 600 / PROBE.latency_s
    assert whole.announcement(plan, PROBE).startswith("about 2,400 queries, about 10 min")
    edge = RunScope(
        workload=load_workload("llama3.1-8b-edge"),
        scenario=Scenario.SINGLE_STREAM,
        num_samples=5000,
    )
    conf = edge.plan("performance", PROBE).user_conf
    assert f"target_latency = {PROBE.latency_s * 1e3:g}\n" in conf


def test_an_accuracy_test_does_not_wait_for_arrivals() -> None:
    scope = RunScope(workload=BUNDLED, scenario=Scenario.SERVER, num_samples=13368, qps=2.0)
    plan = scope.plan("accuracy", PROBE)
    assert plan.target_qps == PROBE.samples_per_s
    assert "10 queries/s (the warm-up's rate: latencies do not count here)" in (
        scope.announcement(plan, PROBE)
    )


def test_interactive_runs_under_the_interactive_models_name() -> None:
    scope = RunScope(workload=OFFICIAL, scenario=Scenario.INTERACTIVE, num_samples=13368, qps=4.0)
    plan = scope.plan("performance", PROBE)
    assert plan.model == "llama3_1-8b-interactive"
    assert plan.user_conf.startswith("llama3_1-8b-interactive.Server.")


@pytest.mark.parametrize("scenario", [Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLE_STREAM])
def test_a_trial_asks_every_sample_once_without_a_minimum_duration(scenario: Scenario) -> None:
    scope = RunScope(workload=BUNDLED, scenario=scenario, num_samples=50)
    plan = scope.plan("performance", PROBE)
    assert scope.trial
    assert plan.num_queries == 50
    assert plan.min_duration_s == 0.0


def test_less_time_than_the_workload_asks_for_is_a_trial() -> None:
    scope = RunScope(
        workload=BUNDLED,
        scenario=Scenario.OFFLINE,
        num_samples=BUNDLED.num_samples,
        duration_s=30.0,
    )
    assert scope.whole_dataset
    assert scope.trial


@pytest.mark.parametrize("workload", [OFFICIAL, BUNDLED], ids=lambda each: each.name)
def test_all_of_a_users_own_articles_are_a_whole_run(workload: Workload) -> None:
    scope = RunScope(
        workload=workload, scenario=Scenario.OFFLINE, num_samples=100, own_set=True, qps=10.0
    )
    assert not scope.trial
    assert scope.whole_dataset
    assert not scope.gated  # the reference's score is that of other articles
    plan = scope.plan("performance", PROBE)
    assert plan.min_duration_s == 600.0
    assert (plan.min_query_count, plan.trial) == (100, False)
    assert "performance_sample_count_override = 100\n" in plan.user_conf
    shorter = dataclasses.replace(scope, duration_s=30.0)
    assert shorter.trial


def test_the_users_rate_wins_over_the_warm_ups() -> None:
    scope = RunScope(workload=BUNDLED, scenario=Scenario.SERVER, num_samples=50)
    assert scope.plan("performance", PROBE).target_qps == 5.0
    asked = RunScope(workload=BUNDLED, scenario=Scenario.SERVER, num_samples=50, qps=7.5)
    assert asked.plan("performance", PROBE).target_qps == 7.5


def test_the_announcement_gives_queries_duration_and_the_rates_origin() -> None:
    scope = RunScope(workload=BUNDLED, scenario=Scenario.SERVER, num_samples=50)
    plan = scope.plan("performance", PROBE)
    assert scope.announcement(plan, PROBE) == (
        "50 queries, about 10 s; 5 queries/s (half of the warm-up's rate; --qps sets it); "
        "warm-up: 10 samples/s in a batch, 250 ms for one alone"
    )


def test_a_changed_rule_takes_the_official_name_away_and_is_told_to_loadgen() -> None:
    changed = apply_overrides(OFFICIAL, ["scenarios.Server.ttft_ms=500", "max_new_tokens=64"])
    scope = RunScope(workload=changed, scenario=Scenario.SERVER, num_samples=13368, qps=2.0)
    assert not scope.official
    plan = scope.plan("performance", PROBE)
    assert "llama3_1-8b.Server.ttft_latency = 500\n" in plan.user_conf
    assert RunScope(workload=OFFICIAL, scenario=Scenario.SERVER, num_samples=13368).official


def test_a_scenario_that_the_benchmark_has_not_keeps_its_rules_but_not_its_name() -> None:
    scope = RunScope(workload=OFFICIAL, scenario=Scenario.SINGLE_STREAM, num_samples=13368)
    assert (scope.unchanged, scope.official) == (True, False)
    assert scope.plan("performance", PROBE).builtin_limits
