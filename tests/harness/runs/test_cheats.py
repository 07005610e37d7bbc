"""Engines that cheat: each is named by a rule of the run's own verdict, and the honest one by none.

`tests/cheats` has the engines; docs/running.md has the same table for people.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.loadgen.settings import Mode
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.runs.audit import audit
from harness.runs.record import TestRecord
from harness.runs.request import RunRequest
from harness.runs.run import Run
from tests.cheats.run import NUM_SAMPLES, install_cheats, run_cheat

OFFLINE, SERVER, SINGLE = Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLE_STREAM
# what a Server test of so few queries misses anyway
_TOO_FEW = {"LoadGen's verdict", "early stopping", "TTFT at p99", "TPOT at p99"}


@pytest.fixture(autouse=True)
def cheats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install_cheats(tmp_path / "site", monkeypatch)


def failed(run: Run, mode: Mode) -> set[str]:
    """The rules that a test did not pass, but for the number of its queries."""
    test = run.record.tests.begun[mode]
    return {rule.name for rule in test.verdict.rules if not rule.passed} - _TOO_FEW


def _count(scenario: Scenario) -> int:
    """One answer after the other takes as long as all of them, twice over in a performance test."""
    return NUM_SAMPLES // 2 if scenario.one_at_a_time else NUM_SAMPLES


@pytest.mark.parametrize("scenario", Scenario)
def test_the_honest_engine_passes_every_rule(tmp_path: Path, scenario: Scenario) -> None:
    run = run_cheat(tmp_path, "none", scenario, count=_count(scenario))
    assert run.record.status == "complete", run.record.cause
    assert (failed(run, "performance"), failed(run, "accuracy")) == (set(), set())
    names = {rule.name for rule in _test(run, "performance").verdict.rules}
    assert names >= {"ids of the text", "answers of the accuracy test"}
    assert ("tokens as they are made" in names) is scenario.has_first_tokens


@pytest.mark.parametrize(
    ("cheat", "scenario", "rules"),
    [
        ("padded with BOS", OFFLINE, {"special ids", "ids of the text"}),
        ("padded with unknown ids", OFFLINE, {"ids of the vocabulary", "ids of the text"}),
        ("padded with spaces", SERVER, {"ids of the text"}),
        ("padded after the end", OFFLINE, {"EOS check", "ids of the text"}),
        ("end in the middle", OFFLINE, {"EOS check"}),
        ("doubled chunks", SERVER, {"doubled ids"}),
        ("doubled chunks", OFFLINE, {"doubled ids"}),
        ("one token always", SERVER, {"one token again and again"}),
        ("one answer always", OFFLINE, {"different answers"}),
        ("empty answers", OFFLINE, {"empty answers", "ids of the text"}),
        ("guessed first token", SERVER, {"first tokens computed"}),
        ("guessed first token", SINGLE, {"first tokens computed"}),
        ("late first token", SERVER, {"tokens as they are made"}),
        ("all tokens at the end", SERVER, {"tokens as they are made"}),
        ("too long", OFFLINE, {"longest answer"}),
        ("negative ids", OFFLINE, {"ids of the vocabulary"}),
        ("unknown ids", SERVER, {"ids of the vocabulary"}),
    ],
)
def test_a_cheat_is_named_by_the_runs_own_verdict(
    tmp_path: Path, cheat: str, scenario: Scenario, rules: set[str]
) -> None:
    run = run_cheat(tmp_path, cheat, scenario, ("performance",), count=_count(scenario))
    assert failed(run, "performance") >= rules
    assert run.exit_code == 1


@pytest.mark.parametrize(
    ("cheat", "rules"),
    [
        ("short answers", {"lengths of the accuracy test"}),
        ("padded with spaces", {"lengths of the accuracy test"}),
        ("longer answers", {"lengths of the accuracy test"}),
        ("another first token", {"answers of the accuracy test"}),
    ],
)
@pytest.mark.parametrize("scenario", [OFFLINE, SERVER])
def test_a_cheat_in_one_test_only_is_named_by_the_other(
    tmp_path: Path, cheat: str, rules: set[str], scenario: Scenario
) -> None:
    run = run_cheat(tmp_path, cheat, scenario, in_one_test=True)
    assert failed(run, "performance") >= rules
    assert failed(run, "accuracy") == set()
    assert run.exit_code == 1


@pytest.mark.parametrize(
    ("cheat", "cause"),
    [
        ("int64 ids", "the engine gave token ids as int64, and not as int32"),
        ("answered twice", "which is not open"),
        ("tokens after the end", "which is not open"),
        ("dropped", "the engine gave no token for "),
    ],
)
def test_what_is_no_answer_ends_the_run_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheat: str, cause: str
) -> None:
    job = RunRequest.job.fget  # type: ignore[attr-defined]
    patient = property(lambda self: job(self).model_copy(update={"stall_s": 1.0}))
    monkeypatch.setattr(RunRequest, "job", patient)
    run = run_cheat(tmp_path, cheat, OFFLINE)
    assert (run.record.status, run.exit_code) == ("failed", 4)
    test = _test(run, "performance")
    assert [rule.name for rule in test.verdict.rules] == ["clean exit"]
    assert cause in test.verdict.sentence


@pytest.mark.parametrize(
    ("cheat", "rules"), [("cached", {"answers from a cache"}), ("none", set())]
)
def test_an_audit_asks_one_sample_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cheat: str, rules: set[str]
) -> None:
    monkeypatch.setattr("harness.runs.audit.never_packed", lambda record, chosen: iter(()))
    monkeypatch.setattr("harness.runs.caching._TRIES", 2)  # each takes a cache as long
    run = run_cheat(tmp_path, cheat, OFFLINE, ("performance",))
    assert failed(run, "performance") == set()
    audited = audit(run.folder.path, None, NullProgress())
    assert {rule.name for rule in audited.verdict.rules if not rule.passed} == rules
    (rule,) = [rule for rule in audited.verdict.rules if rule.name == "answers from a cache"]
    assert rule.value is not None
    assert (rule.value > 5) is (cheat == "cached")


def _test(run: Run, mode: Mode) -> TestRecord:
    return run.record.tests.begun[mode]
