"""Our check of the logs in a tree: what LoadGen was asked for, and what it measured."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.submission.check import check_tree
from harness.submission.official import run_official
from tests.harness.misbehave import misbehave
from tests.harness.submission.finished_runs import whole_plan
from tests.harness.submission.spoiling import (
    REPOSITORY,
    RESULTS,
    SYSTEM_JSON,
    V61,
    field,
    sentences,
)


def _lines(tree: Path, test: str, change: Callable[[str], str]) -> None:
    path = tree / RESULTS / "Offline" / test / "mlperf_log_detail.txt"
    path.write_text("".join(change(line) for line in path.read_text().splitlines(keepends=True)))


def test_a_log_of_a_loadgen_that_says_less_is_read_as_the_checker_does(tree: Path) -> None:
    """LoadGen before 6.0.15 does not log how many samples an accuracy test asked for."""
    _lines(tree, "accuracy", lambda s: "" if "effective_accuracy_sample_count" in s else s)
    assert sentences(tree) == []
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed
    _lines(tree, "accuracy", lambda s: "" if "qsl_reported_total_count" in s else s)
    assert sentences(tree) == [
        "accuracy test, samples asked: measured 0, the limit is 13,368, each sample once; take "
        "`accuracy_sample_count_override` out of user.conf."
    ]


@pytest.mark.parametrize(
    "entry", ["[]", '{"key": 1}', '{"key": "result_query_count", "value": null, "metadata": {}}']
)
def test_a_log_with_a_line_of_another_kind_is_broken(tree: Path, entry: str) -> None:
    _lines(tree, "performance/run_1", lambda s: f":::MLLOG {entry}\n")
    (found,) = sentences(tree)
    assert found.endswith("mlperf_log_detail.txt has a broken line; the run is incomplete.")


def test_logs_of_another_round_are_named_by_seed_and_version(sound_tree: Path) -> None:
    found = [f.sentence for f in check_tree(sound_tree, load_round("v6.0"))]
    for text in (
        "performance test, seeds of the round: measured qsl_rng_seed 2085463073848966840",
        "accuracy test, seeds of the round: measured qsl_rng_seed 2085463073848966840",
        "performance test, LoadGen's version: measured 6.0.17, the limit is 6.0.5 to 6.0.15, for "
        "round v6.0; install mlcommons-loadgen==6.0.15",
    ):
        assert [sentence for sentence in found if sentence.startswith(text)]
    if REPOSITORY is not None:
        assert not run_official(Path(REPOSITORY), sound_tree, "v6.0", None).passed


@pytest.mark.parametrize(
    ("name", "key", "label", "limit_ns"),
    [
        (
            "TTFT",
            "result_first_token_99.00_percentile_latency_ns",
            "99.00 percentile first token latency (ns)   : ",
            2_000_000_000,
        ),
        (
            "TPOT",
            "result_time_per_output_token_99.00_percentile_ns",
            "99.00 percentile time to output token (ns)   : ",
            100_000_000,
        ),
    ],
)
def test_a_latency_of_exactly_the_limit_does_not_pass_as_with_the_official_checker(
    tree: Path, name: str, key: str, label: str, limit_ns: int
) -> None:
    logs = tree / RESULTS / "Server/performance/run_1"
    detail, summary = logs / "mlperf_log_detail.txt", logs / "mlperf_log_summary.txt"
    for value, passes in ((limit_ns - 1, True), (limit_ns, False)):
        for log, before in ((detail, f'"key": "{key}", "value": '), (summary, label)):
            text, times = re.subn(re.escape(before) + r"\d+", f"{before}{value}", log.read_text())
            assert times == 1
            log.write_text(text)
        failed = [] if passes else [f"performance test, {name} at p99"]
        assert [sentence.partition(":")[0] for sentence in sentences(tree)] == failed
        if REPOSITORY is not None:
            assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed is passes


def _answers(tree: Path, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = tree / RESULTS / "Server/TEST06/accuracy/mlperf_log_accuracy.json"
    entries = json.loads(path.read_text())
    change(entries)
    path.write_text(json.dumps(entries))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda entries: entries.pop(),
            "TEST06 test, answers logged: measured 99, the limit is 100 or more; run the audit",
        ),
        (
            lambda entries: entries[3].update(data="64000000" * 129, token_count=129),
            "TEST06 test, longest answer: measured 129 tokens (1 answer above), the limit is 128",
        ),
        (
            lambda entries: entries[3].update(token_count=7),
            "TEST06 test, tokens reported: measured 1 answer with another number than they have",
        ),
        (
            lambda entries: entries[3].update(token_data="65000000"),
            "TEST06 test, first tokens: measured 1 of 100 answers do not begin with their first",
        ),
    ],
)
def test_the_answers_of_a_compliance_test_count_whatever_its_verification_says(
    tree: Path, change: Callable[[list[dict[str, Any]]], object], sentence: str
) -> None:
    _answers(tree, lambda entries: entries[3].update(token_data=entries[3]["data"][:8]))
    assert sentences(tree) == []
    _answers(tree, lambda entries: entries[3].update(token_data="64000000", data="64000000" * 128))
    assert sentences(tree) == []
    _answers(tree, change)
    assert [text for text in sentences(tree) if text.startswith(sentence)]
    assert len(sentences(tree)) == 1
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed


def replace_offline(tree: Path, work: Path, fault: str) -> None:
    """Put logs of a test in the place of Offline's that asked for 600 s and took a second."""
    workload = load_workload("llama3.1-8b")
    logs = misbehave(work, whole_plan(workload, Scenario.OFFLINE), fault)
    for name in ("mlperf_log_detail.txt", "mlperf_log_summary.txt"):
        shutil.copyfile(logs / name, tree / RESULTS / "Offline/performance/run_1" / name)


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        ("none", " s, the limit is 600 s; raise --qps, so that LoadGen asks for more samples (try"),
        ("twice", "no LoadGen errors: measured 1 error: Attempted to complete a sample twice."),
        ("129 each", "mean answer: measured 129.00 tokens, the limit is 128"),
    ],
)
def test_what_the_official_checker_lets_pass_is_named(
    tree: Path, tmp_path: Path, fault: str, text: str
) -> None:
    replace_offline(tree, tmp_path / "test", fault)
    found = sentences(tree)
    assert [sentence for sentence in found if text in sentence], found
    invalid = "performance test, LoadGen's verdict: measured INVALID (result_min_duration_met)"
    assert [sentence for sentence in found if sentence.startswith(invalid)]
    if REPOSITORY is not None:
        assert run_official(Path(REPOSITORY), tree, "v6.1", None).passed


def test_offline_inferred_from_singlestream_is_named(tree: Path) -> None:
    rules = V61.benchmarks["llama3.1-8b"]
    single = rules.model_copy(update={"required": ["SingleStream"], "one_of": ()})
    assert single.missing({"Offline"}) == ["SingleStream"]
    log = tree / RESULTS / "Offline/performance/run_1/mlperf_log_detail.txt"
    log.write_text(
        log.read_text().replace(
            '"key": "effective_scenario", "value": "Offline"',
            '"key": "effective_scenario", "value": "SingleStream"',
        )
    )
    assert any(
        text.startswith("performance test, scenario: measured SingleStream, the limit is Offline")
        for text in sentences(tree)
    )


def test_an_open_result_may_have_longer_answers(tree: Path, tmp_path: Path) -> None:
    replace_offline(tree, tmp_path / "test", "129 each")
    field(SYSTEM_JSON, "division", "open")(tree)
    (tree / "closed").rename(tree / "open")
    assert not [sentence for sentence in sentences(tree) if "mean answer" in sentence]
