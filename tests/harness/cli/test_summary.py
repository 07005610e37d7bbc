"""The summary of a run: its result as the checker reads it, latencies, verdict, where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.output import Output
from harness.cli.summary import show_run
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule, Verdict
from harness.runs.execution import execute
from harness.runs.record import AccuracyRecord, Mark
from harness.runs.run import Run
from harness.runs.worth import told
from harness.scoring.accuracy import Accuracy
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_request, rehearse


def test_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rehearse(tmp_path, Scenario.SINGLE_STREAM, spec=SimulatedSpec(num_tokens=4, ttft_s=0.01))
    show_run(Output(as_json=False), run)
    said = capsys.readouterr().err
    test = run.record.tests.performance
    assert test is not None and test.primary is not None
    assert test.primary.value >= 10.0
    assert f"result  {test.primary.value:,.6g} ms (result_90.00_percentile_latency_ns)" in said
    assert "TTFT    p50 " in said
    assert "performance: INVALID because" in said  # 16 queries are too few for a percentile
    lines = said.splitlines()
    at = lines.index("  performance: INVALID because")
    assert lines[at + 1].startswith("    early stopping: measured 16 queries")
    assert lines[at + 2].startswith("    LoadGen's verdict: measured INVALID (early_stopping_met)")
    assert said.endswith("Then: change what is named above, and run again\n")
    assert f"Results are in {run.folder.path}" in said


def test_a_median_says_which_of_its_tests_were_invalid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SimulatedSpec(num_tokens=4)
    run = execute(make_request(tmp_path, spec=spec, repeat=3), NullProgress())
    show_run(Output(as_json=False), run)
    assert "INVALID" not in capsys.readouterr().err
    again = run.record.repeats
    assert again is not None
    wrong = Verdict.of([Rule(name="a", passed=False, measured="1", allowed="2", remedy="b")])
    doubted = again.tests[0].model_copy(update={"verdict": wrong})
    tests = (doubted, *again.tests[1:])
    changed = run.record.model_copy(update={"repeats": again.model_copy(update={"tests": tests})})
    show_run(Output(as_json=False), Run(run.folder, changed))
    said = capsys.readouterr().err.splitlines()
    [median] = [line for line in said if "tokens_per_second: median" in line]
    assert median.endswith("(1 test INVALID: 2)")


@pytest.mark.parametrize(
    ("marks", "worth"),
    [
        ((), "VALID"),
        (("demo workload", "other data"), "VALID"),
        (("demo workload", "short"), "meets the rules of a short run"),
        (("simulated", "short"), "meets the rules of a simulated run"),
        (("emulated",), "meets the rules of an emulated run"),
    ],
)
def test_valid_alone_is_for_a_whole_run(marks: tuple[Mark, ...], worth: str) -> None:
    sound = Rule(name="a", passed=True, measured="1", allowed="1", remedy="none")
    assert told(Verdict.of([sound]), marks) == [worth]


def test_what_follows_from_a_failed_rule_is_told_after_it() -> None:
    names = ("LoadGen's verdict", "early stopping", "TTFT at p99", "clean exit")
    rules = [
        Rule(name=name, passed=name == "clean exit", measured="2", allowed="1", remedy="x")
        for name in names
    ]
    said = [line.partition(":")[0] for line in told(Verdict.of(rules), ("short",))]
    assert said == ["INVALID", "TTFT at p99", "early stopping", "LoadGen's verdict"]


def test_scores_without_a_gate_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rehearse(tmp_path, spec=SimulatedSpec(num_tokens=4))
    scores = Accuracy(rouge1=1.0, rouge2=1.0, rougeL=1.0, rougeLsum=1.0, gen_len=9, gen_num=3)
    show_run(Output(as_json=False), run.changed(accuracy=AccuracyRecord(scores=scores, gates=())))
    assert "  accuracy: scored, no gate\n" in capsys.readouterr().err


def test_a_failed_run_gives_its_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rehearse(tmp_path, spec=SimulatedSpec(fault="die", fault_after=0))
    show_run(Output(as_json=False), run)
    said = capsys.readouterr().err
    assert "performance: failed after 0 answers" in said
    assert "Cause: the simulated engine died at answer 0, as told" in said
    assert said.endswith(f"--scenario Offline --output {run.folder.path}-2\n")
