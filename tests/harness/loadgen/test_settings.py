"""The plan of a LoadGen test: what is written into user.conf, and what LoadGen makes of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from harness.loadgen import logs
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_dataset, make_job


def plan(**fields: object) -> LoadgenPlan:
    values: dict[str, object] = {
        "scenario": Scenario.OFFLINE,
        "mode": "performance",
        "model": "newsbrief",
        "num_samples": 40,
        "min_duration_s": 0.5,
        "equal_issue": False,
    }
    return LoadgenPlan(**{**values, **fields})  # type: ignore[arg-type]


PLANS = [
    plan(target_qps=100.0, min_query_count=10),
    plan(target_qps=100.0, min_query_count=70),
    plan(target_qps=100.0, min_query_count=41, equal_issue=True),
    plan(mode="accuracy", target_qps=100.0),
    plan(scenario=Scenario.SERVER, target_qps=50.0, min_query_count=60, ttft_ms=500, tpot_ms=30),
    plan(scenario=Scenario.SERVER, target_qps=300.0, min_query_count=50, equal_issue=True),
    plan(scenario=Scenario.INTERACTIVE, target_qps=100.0, ttft_ms=500.0, tpot_ms=30.0),
    plan(
        scenario=Scenario.SINGLE_STREAM,
        expected_latency_s=0.01,
        min_query_count=39,
        equal_issue=True,
    ),
    plan(
        scenario=Scenario.SINGLE_STREAM,
        expected_latency_s=0.005,
        min_query_count=40,
        equal_issue=True,
    ),
    plan(scenario=Scenario.SINGLE_STREAM, mode="accuracy", expected_latency_s=0.01),
]


@pytest.mark.parametrize("planned", PLANS, ids=lambda p: f"{p.scenario}-{p.mode}-{p.equal_issue}")
def test_loadgen_issues_as_many_queries_as_the_plan_says(
    tmp_path: Path, planned: LoadgenPlan
) -> None:
    job = make_job(make_dataset(tmp_path / "dataset", 40), SimulatedSpec(num_tokens=3))
    folder = tmp_path / "test"
    folder.mkdir()
    outcome = run_test(job, lambda probe: planned, folder, NullProgress())
    assert outcome.status == "complete", outcome.cause
    assert outcome.figures is not None
    issued = outcome.figures.done
    if planned.scenario.has_rate:
        # A random arrival process: the count is LoadGen's minimum, or about rate times duration.
        assert issued == pytest.approx(planned.num_queries, rel=0.25)
        assert not planned.equal_issue or issued % planned.num_samples == 0
    else:
        assert issued == planned.num_queries
    values = logs.read_detail(folder).values
    assert values["effective_scenario"] == planned.scenario.loadgen_name


def test_single_stream_without_equal_issue_runs_at_least_the_planned_queries(
    tmp_path: Path,
) -> None:
    planned = plan(scenario=Scenario.SINGLE_STREAM, expected_latency_s=0.02, min_query_count=10)
    job = make_job(
        make_dataset(tmp_path / "dataset", 40),
        SimulatedSpec(num_tokens=3, ttft_s=0.018, tpot_s=0.001),
    )
    folder = tmp_path / "test"
    folder.mkdir()
    outcome = run_test(job, lambda probe: planned, folder, NullProgress())
    assert outcome.status == "complete", outcome.cause
    assert planned.num_queries == 25
    # LoadGen goes on until the minimum duration, so the count follows the real latency.
    assert outcome.figures is not None
    assert 10 <= outcome.figures.done <= 50


def test_interactive_is_server_under_the_interactive_limits() -> None:
    conf = plan(
        scenario=Scenario.INTERACTIVE, target_qps=2.0, ttft_ms=500.0, tpot_ms=30.0
    ).user_conf
    assert "newsbrief.Server.ttft_latency = 500\n" in conf
    assert "newsbrief.Server.tpot_latency = 30\n" in conf
    assert "newsbrief.Server.target_qps = 2\n" in conf
    assert "Interactive" not in conf


def test_a_whole_official_run_leaves_loadgens_own_limits_alone() -> None:
    conf = plan(
        scenario=Scenario.SERVER,
        model="llama3_1-8b",
        target_qps=8.5,
        builtin_limits=True,
        min_duration_s=600,
        ttft_ms=2000,
        tpot_ms=100,
    ).user_conf
    assert conf == (
        "llama3_1-8b.Server.min_duration = 600000\nllama3_1-8b.Server.target_qps = 8.5\n"
    )


def test_a_trial_of_an_official_workload_overrides_the_built_in_counts() -> None:
    conf = plan(model="llama3_1-8b", builtin_limits=True, trial=True, equal_issue=True).user_conf
    assert "llama3_1-8b.Offline.performance_sample_count_override = 40\n" in conf
    assert "llama3_1-8b.Offline.sample_concatenate_permutation = 1\n" in conf


@pytest.mark.parametrize(
    ("fields", "queries"),
    [
        # mlperf-rules.md 2.3: one pass on a slow card, five at 94 samples/s
        ({"scenario": Scenario.OFFLINE, "target_qps": 20.0}, 13368),
        ({"scenario": Scenario.OFFLINE, "target_qps": 94.0}, 66840),
        # Server in whole passes until 600 s are scheduled
        ({"scenario": Scenario.SERVER, "target_qps": 22.3}, 26736),
        ({"scenario": Scenario.SERVER, "target_qps": 8.0}, 13368),
    ],
)
def test_official_counts_agree_with_what_was_seen(fields: dict[str, object], queries: int) -> None:
    planned = plan(
        model="llama3_1-8b",
        num_samples=13368,
        min_duration_s=600.0,
        builtin_limits=True,
        min_query_count=13368 if fields["scenario"] is Scenario.OFFLINE else None,
        equal_issue=True,
        **fields,
    )
    assert planned.num_queries == queries


@pytest.mark.parametrize(
    ("latency_s", "min_queries", "queries"),
    [(0.241, None, 5000), (0.01, None, 125000), (0.241, 5000, 10000)],
)
def test_single_stream_rounds_up_as_loadgen_does(
    latency_s: float, min_queries: int | None, queries: int
) -> None:
    planned = plan(
        scenario=Scenario.SINGLE_STREAM,
        num_samples=5000,
        min_duration_s=600.0,
        expected_latency_s=latency_s,
        min_query_count=min_queries,
        equal_issue=True,
    )
    assert planned.num_queries == queries


def test_a_missing_user_conf_is_an_error_and_not_defaults(tmp_path: Path) -> None:
    # In a process of its own: the call counts as the process's one use of LoadGen's built-in conf.
    code = (
        "import sys; from pathlib import Path; from harness.loadgen.settings import LoadgenPlan\n"
        "from harness.rules.scenario import Scenario\n"
        "plan = LoadgenPlan(scenario=Scenario.OFFLINE, mode='performance', model='m',"
        " num_samples=1, min_duration_s=0)\n"
        "plan.test_settings(Path(sys.argv[1]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "none.conf")], capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "could not read" in result.stderr
    assert "(code -2)" in result.stderr


def test_only_a_performance_test_has_a_shortest_duration() -> None:
    timed = plan(scenario=Scenario.SINGLE_STREAM, min_duration_s=600.0)
    asked_once = replace(timed, mode="accuracy")
    assert timed.expected_duration_s(None, 0.0) == 600.0
    assert asked_once.expected_duration_s(None, 0.1) == pytest.approx(4.0)
