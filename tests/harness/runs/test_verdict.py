"""The verdict's rules, each on logs that LoadGen itself wrote about a system that breaks it."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import pytest

from build_engine.config import apply_overrides
from harness.loadgen import logs
from harness.loadgen.folder import SUMMARY
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.verdict import Verdict
from harness.rules.workload import load_workload
from harness.runs.evidence import Evidence
from harness.runs.record import PrimaryResult
from harness.runs.verdict import judge, judge_unfinished
from tests.harness.misbehave import NUM_TOKENS, misbehave
from tests.harness.rehearsal import make_plan

WORKLOAD = load_workload("newsbrief")
COUNT = 700  # enough queries for a p99
TIGHT = 100.0  # TTFT that this system cannot miss on any machine, in ms


def plan(scenario: Scenario = Scenario.OFFLINE, mode: Mode = "performance") -> LoadgenPlan:
    return make_plan(scenario, mode, num_samples=COUNT, qps=2000.0)


def evidence(folder: Path, planned: LoadgenPlan) -> Evidence:
    log = logs.read_detail(folder)
    return Evidence(
        plan=planned,
        log=log,
        token_counts=json.loads((folder / "token_counts.json").read_text()),
        workload=WORKLOAD,
        round=load_round("v6.1"),
        answers=logs.read_answers(folder) if planned.mode == "accuracy" else (),
        summary_differences=logs.summary_differences(folder, log),
    )


def failed(verdict: Verdict) -> dict[str, str]:
    """Sentence of each failed rule by name."""
    return {rule.name: rule.sentence for rule in verdict.rules if not rule.passed}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A Server test in which nothing is wrong."""
    folder = misbehave(tmp_path_factory.mktemp("server") / "test", plan(Scenario.SERVER))
    return evidence(folder, plan(Scenario.SERVER))


@pytest.mark.parametrize("name", [Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLE_STREAM])
def test_a_test_in_which_nothing_is_wrong_is_valid(tmp_path: Path, name: Scenario) -> None:
    planned = plan(name)
    assert judge(evidence(misbehave(tmp_path / "test", planned), planned)).sentence == "VALID"


def test_a_server_test_has_as_many_queries_as_loadgen_drew(tmp_path: Path) -> None:
    """Arrivals are random, so the plan's number is one that LoadGen comes near."""
    planned = dataclasses.replace(
        plan(Scenario.SERVER),
        min_query_count=500,
        min_duration_s=1.5,
        target_qps=613.0,
        equal_issue=False,
    )
    found = evidence(misbehave(tmp_path / "test", planned), planned)
    assert found.log.num_answers != planned.num_queries
    assert judge(found).sentence == "VALID"
    lost = dataclasses.replace(found, token_counts=found.token_counts[1:])
    assert set(failed(judge(lost))) == {"every sample answered", "tokens reported"}


def test_an_accuracy_test_in_which_nothing_is_wrong_is_valid(tmp_path: Path) -> None:
    planned = plan(Scenario.SERVER, "accuracy")
    assert judge(evidence(misbehave(tmp_path / "test", planned), planned)).sentence == "VALID"


def test_a_missing_first_token_is_named(tmp_path: Path) -> None:
    found = failed(
        judge(
            evidence(
                misbehave(tmp_path / "t", plan(Scenario.SERVER), "no first token"),
                plan(Scenario.SERVER),
            )
        )
    )
    assert found["first tokens"].startswith("first tokens: measured 70 answers without one")
    assert found["no LoadGen errors"].startswith("no LoadGen errors: measured 70 errors: ")


def test_an_answer_of_one_token_is_an_error_of_loadgens(tmp_path: Path) -> None:
    found = failed(
        judge(
            evidence(
                misbehave(tmp_path / "t", plan(Scenario.SERVER), "one token"), plan(Scenario.SERVER)
            )
        )
    )
    assert "Number of tokens need to be greater than 1" in found["no LoadGen errors"]


@pytest.mark.parametrize("mode", ["performance", "accuracy"])
def test_a_129th_token_is_counted(tmp_path: Path, mode: Mode) -> None:
    planned = plan(Scenario.SERVER, mode)
    verdict = judge(evidence(misbehave(tmp_path / "t", planned, "129 tokens"), planned))
    assert failed(verdict) == {
        "longest answer": "longest answer: measured 129 tokens (1 answer above), the limit is 128;"
        " a stop token or re-tokenised text must not be added to the answer"
    }


@pytest.mark.parametrize("mode", ["performance", "accuracy"])
def test_a_token_too_many_that_only_loadgen_is_told_of_is_noticed(
    tmp_path: Path, mode: Mode
) -> None:
    planned = plan(Scenario.SERVER, mode)
    verdict = judge(evidence(misbehave(tmp_path / "t", planned, "count"), planned))
    assert list(failed(verdict)) == ["tokens reported"]


def test_a_sample_that_is_answered_twice_is_noticed(tmp_path: Path) -> None:
    planned = plan(Scenario.SERVER, "accuracy")
    found = failed(judge(evidence(misbehave(tmp_path / "t", planned, "twice"), planned)))
    assert "Attempted to complete a sample twice." in found["no LoadGen errors"]
    assert "0 missing and 1 answered twice" in found["samples of the accuracy log"]


def test_a_short_test_is_invalid_by_loadgens_word_and_by_ours(tmp_path: Path) -> None:
    planned = dataclasses.replace(plan(), min_duration_s=600.0, target_qps=1.0)
    found = failed(judge(evidence(misbehave(tmp_path / "t", planned), planned)))
    assert set(found) == {"LoadGen's verdict", "minimum duration"}
    told = "the limit is 600 s; raise --qps, so that LoadGen asks for more samples (try --qps "
    assert told in found["minimum duration"]
    assert "result_min_duration_met" in found["LoadGen's verdict"]


def test_the_duration_is_measured_not_believed(server: Evidence) -> None:
    # LoadGen was asked for no minimum, so it calls the test VALID.
    planned = dataclasses.replace(server.plan, min_duration_s=600.0, num_samples=COUNT)
    found = failed(judge(dataclasses.replace(server, plan=planned)))
    assert "minimum duration" in found
    assert server.log.valid


def test_an_interactive_run_under_server_limits_is_named(server: Evidence) -> None:
    planned = dataclasses.replace(server.plan, scenario=Scenario.INTERACTIVE)
    found = failed(judge(dataclasses.replace(server, plan=planned)))
    assert found == {
        "TTFT limit": "TTFT limit: measured a test under 2000 ms, the limit is 500 ms, that of "
        "Interactive; run it as Interactive, under the LoadGen model of that scenario",
        "TPOT limit": "TPOT limit: measured a test under 100 ms, the limit is 30 ms, that of "
        "Interactive; run it as Interactive, under the LoadGen model of that scenario",
    }


def test_latencies_are_compared_with_the_scenarios_own_limits(server: Evidence) -> None:
    stricter = apply_overrides(WORKLOAD, ["scenarios.Server.ttft_ms=0.000001"])
    found = failed(judge(dataclasses.replace(server, workload=stricter)))
    assert list(found) == ["TTFT limit", "TTFT at p99"]
    told = "the limit is below 1e-06 ms, for Server; lower --qps (try --qps "
    assert told in found["TTFT at p99"]


@pytest.mark.parametrize(
    ("name", "key", "limit_ns"),
    [
        ("TTFT", "result_first_token_99.00_percentile_latency_ns", 2_000_000_000),
        ("TPOT", "result_time_per_output_token_99.00_percentile_ns", 100_000_000),
    ],
)
def test_a_latency_of_exactly_the_limit_does_not_pass(
    server: Evidence, name: str, key: str, limit_ns: int
) -> None:
    """LoadGen calls it VALID, and the submission checker refuses it."""

    def at(value_ns: int) -> Verdict:
        values = {**server.log.values, key: value_ns}
        found = dataclasses.replace(
            server, log=dataclasses.replace(server.log, values=values), summary_differences=()
        )
        assert found.log.valid
        return judge(found)

    assert at(limit_ns - 1).valid
    (rule,) = [rule for rule in at(limit_ns).rules if not rule.passed]
    assert rule.name == f"{name} at p99"
    assert (rule.value, rule.limit, rule.unit) == (limit_ns / 1e6, limit_ns / 1e6, "ms")
    assert f"the limit is below {limit_ns / 1e6:g} ms, for Server; lower --qps" in rule.sentence


@pytest.mark.parametrize(
    ("key", "value", "rules"),
    [
        ("result_validity", "INVALID", {"LoadGen's verdict"}),
        ("effective_test_mode", "AccuracyOnly", {"mode"}),
        ("effective_scenario", "SingleStream", {"scenario"}),
        ("requested_use_token_latencies", False, {"token latencies"}),
        ("requested_server_ttft_latency", 2_000_000_001, {"TTFT limit"}),
        ("requested_server_tpot_latency", 0, {"TPOT limit"}),
        ("result_first_token_99.00_percentile_latency_ns", 0, {"TTFT at p99"}),
        ("effective_sample_concatenate_permutation", False, {"equal issue"}),
        ("effective_performance_sample_count", COUNT - 1, {"samples to draw from"}),
        ("effective_min_query_count", COUNT + 1, {"minimum queries"}),
        ("early_stopping_met", False, {"early stopping"}),
        ("result_first_token_min_latency_ns", 0, {"first tokens"}),
        ("result_completed_tokens_per_second", None, {"result"}),
        ("generated_query_count", COUNT + 1, {"every sample answered"}),
    ],
)
def test_each_fact_of_the_log_has_a_rule_of_its_own(
    server: Evidence, key: str, value: object, rules: set[str]
) -> None:
    log = dataclasses.replace(server.log, values={**server.log.values, key: value})
    assert failed(judge(dataclasses.replace(server, log=log))).keys() == rules


def test_what_was_asked_for_counts_beside_what_was_measured(server: Evidence) -> None:
    planned = dataclasses.replace(server.plan, min_duration_s=server.log.duration_s)
    rules = {rule.name: rule for rule in judge(dataclasses.replace(server, plan=planned)).rules}
    assert rules["minimum duration"].passed
    asked = rules["requested duration"]
    assert (asked.passed, asked.value, asked.unit) == (False, 0.0, "s")
    assert asked.limit == server.log.duration_s


def test_offline_asks_for_the_whole_dataset(tmp_path: Path) -> None:
    found = evidence(misbehave(tmp_path / "t", plan()), plan())
    larger = dataclasses.replace(found.plan, num_samples=COUNT + 1)
    rules = failed(judge(dataclasses.replace(found, plan=larger)))
    assert "measured 700, the limit is 701, the whole dataset" in rules["samples asked"]


def test_an_accuracy_log_is_held_against_what_was_asked_and_counted(tmp_path: Path) -> None:
    planned = plan(Scenario.SERVER, "accuracy")
    found = evidence(misbehave(tmp_path / "t", planned), planned)
    counted = dataclasses.replace(found, token_counts=[NUM_TOKENS + 1, *found.token_counts[1:]])
    assert failed(judge(counted)).keys() == {"lengths counted"}
    values = {**found.log.values, "effective_accuracy_sample_count": COUNT - 1}
    asked = dataclasses.replace(found, log=dataclasses.replace(found.log, values=values))
    assert failed(judge(asked)).keys() == {"samples asked"}
    no_first = [dataclasses.replace(each, first_ids=None) for each in found.answers]
    assert failed(judge(dataclasses.replace(found, answers=no_first))).keys() == {"first tokens"}


def test_too_few_queries_for_a_percentile_is_early_stopping(tmp_path: Path) -> None:
    planned = make_plan(Scenario.SERVER, num_samples=64, qps=2000.0)
    found = failed(judge(evidence(misbehave(tmp_path / "t", planned), planned)))
    assert "Would need to run at least" in found["early stopping"]
    assert re.search(r"run more queries \(\d{3} or more, by --count or", found["early stopping"])


def test_an_answer_too_few_is_noticed(server: Evidence) -> None:
    found = failed(judge(dataclasses.replace(server, token_counts=server.token_counts[1:])))
    assert "699 answers, 700 by LoadGen's count" in found["every sample answered"]


def test_seeds_and_version_of_another_round_are_named(server: Evidence) -> None:
    found = failed(judge(dataclasses.replace(server, round=load_round("v6.0"))))
    assert set(found) == {"LoadGen's version", "seeds of the round"}
    assert "mlcommons-loadgen==6.0.15" in found["seeds of the round"]


def test_prefix_caching_is_never_valid(server: Evidence) -> None:
    found = failed(judge(dataclasses.replace(server, prefix_caching=True)))
    assert list(found) == ["prefix caching"]


def test_a_loadgen_with_local_changes_is_named(server: Evidence) -> None:
    values = {**server.log.values, "loadgen_git_status_message": " M loadgen.cc"}
    log = dataclasses.replace(server.log, values=values)
    found = failed(judge(dataclasses.replace(server, log=log)))
    assert "M loadgen.cc" in found["LoadGen unchanged"]


def test_a_summary_with_other_figures_is_noticed(tmp_path: Path) -> None:
    folder = misbehave(tmp_path / "t", plan(Scenario.SERVER))
    summary = folder / SUMMARY
    text = summary.read_text()
    lines = [
        "99.00 percentile first token latency (ns)   : 5"
        if line.startswith("99.00 percentile first")
        else line
        for line in text.splitlines()
    ]
    summary.write_text("\n".join(lines))
    found = failed(judge(evidence(folder, plan(Scenario.SERVER))))
    assert list(found) == ["summary agrees"]
    assert "99.00 percentile first token latency (ns): 5 in the summary" in found["summary agrees"]


def test_a_test_that_did_not_end_cleanly_is_invalid_by_that_rule() -> None:
    verdict = judge_unfinished("LoadGen's process was ended by SIGKILL")
    assert not verdict.valid
    assert verdict.sentence.startswith(
        "INVALID because clean exit: measured LoadGen's process was ended by SIGKILL"
    )


def test_the_log_tells_duration_and_tokens_by_its_own_rates(server: Evidence) -> None:
    assert server.log.num_answers == COUNT
    assert server.log.num_tokens == pytest.approx(COUNT * NUM_TOKENS, rel=1e-4)
    # The last of 700 arrivals at 2,000 a second is due after about 0.35 s.
    assert 0.2 < server.log.duration_s < 5


def test_the_result_is_the_figure_that_the_checker_reads(server: Evidence) -> None:
    key = server.limits.metric
    assert key == "result_completed_tokens_per_second"
    value = server.log.values[key]
    found = PrimaryResult.of(key, server.log)
    assert found == PrimaryResult(key=key, value=value, unit="tokens/s")
    latency = "result_90.00_percentile_latency_ns"
    p90_ms = server.log.values[latency] / 1e6
    assert PrimaryResult.of(latency, server.log) == PrimaryResult(
        key=latency, value=p90_ms, unit="ms"
    )
    assert PrimaryResult.of("result_of_another_round", server.log) is None
