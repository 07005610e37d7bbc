"""TEST06 on finished runs: real LoadGen tests under the audit's settings, and our own checks."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from build_engine.errors import ResultProblem, RunExists, UsageError
from build_engine.files import write_json
from harness.loadgen import logs
from harness.loadgen.folder import ACCURACY, DETAIL, SUMMARY
from harness.loadgen.settings import LoadgenPlan
from harness.progress import NullProgress
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.runs.audit import audit, audit_config, verify
from harness.runs.folder import AUDIT_TEST as TEST
from harness.runs.folder import AuditFolder
from harness.runs.packable import never_packed
from harness.runs.run import Run
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_dataset, make_job, make_plan, rehearse
from tests.harness.submission.finished_runs import edit_record, engine_manifest

REPOSITORY = os.environ.get("MLPERF_INFERENCE_REPO")
V61 = load_round("v6.1")
SETTINGS = V61.compliance_tests[TEST]
FAST = SimulatedSpec(num_tokens=5)
DYING = SimulatedSpec(num_tokens=5, fault="die", fault_after=40)
EOS = 2  # of make_job


@pytest.fixture(autouse=True)
def packable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of a time model, which the audit would refuse, stand for those of an engine."""
    monkeypatch.setattr("harness.runs.audit.never_packed", lambda record, chosen: iter(()))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A performance test in Offline, made once: tests audit copies of it."""
    return rehearse(tmp_path_factory.mktemp("written"), spec=FAST).folder.path


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Run:
    """The same, in a folder of its own; its dataset is everybody's."""
    shutil.copytree(written, tmp_path / "run")
    return Run.read(tmp_path / "run")


def run_audit(folder: Path) -> tuple[int, dict[str, str]]:
    finished = audit(folder, V61, NullProgress())
    text = (folder / TEST / "verify_accuracy.txt").read_text()
    return finished.exit_code, dict(line.rsplit(maxsplit=1) for line in text.splitlines())


@pytest.mark.parametrize(
    ("scenario", "first"),
    [(Scenario.OFFLINE, "Skipped"), (Scenario.SERVER, "True"), (Scenario.SINGLE_STREAM, "True")],
)
def test_an_audit_runs_under_its_own_settings_and_leaves_the_official_files(
    tmp_path: Path, scenario: Scenario, first: str
) -> None:
    run = rehearse(tmp_path, scenario, spec=FAST)
    code, said = run_audit(run.folder.path)
    assert code == 0
    assert said == {
        "First token check pass:": first,
        "EOS check pass:": "True",
        "Sample length check pass:": "True",
        "TEST06 verification": "complete",
    }
    log = logs.read_detail(run.folder.path / TEST)
    assert log.values["effective_accuracy_log_sampling_target"] == 100
    assert log.values["effective_min_query_count"] in (1, 100)  # one query of 100 in Offline
    assert log.num_answers == 100
    assert len(logs.read_answers(run.folder.path / TEST / "accuracy")) == 100
    record = Run.read(run.folder.path).record
    assert record.audits[TEST].verdict.valid
    assert record.files == run.folder.digests()
    assert f"{TEST}/accuracy/mlperf_log_accuracy.json" in record.files


def test_a_second_audit_does_not_overwrite_the_first(run: Run) -> None:
    run_audit(run.folder.path)
    with pytest.raises(RunExists, match="move it out of the run's folder to audit it again"):
        audit(run.folder.path, V61, NullProgress())


def test_an_audit_is_of_the_runs_own_round(run: Run) -> None:
    with pytest.raises(UsageError, match=r"is of round v6\.1, not v6\.0; audit it as such"):
        audit(run.folder.path, load_round("v6.0"), NullProgress())
    without = V61.model_copy(update={"compliance_tests": {}})
    with pytest.raises(UsageError, match=r"Round v6\.1 has no TEST06"):
        audit(run.folder.path, without, NullProgress())
    assert audit(run.folder.path, None, NullProgress()).round == "v6.1"


def test_a_loadgen_of_another_round_fails_the_audit(audited: Path, tmp_path: Path) -> None:
    shutil.copytree(audited, tmp_path / "test")
    job = make_job(make_dataset(tmp_path / "dataset"))
    verdict = verify(AuditFolder(tmp_path / "test"), SERVER, load_round("v6.0"), job)
    failed = [rule.name for rule in verdict.rules if not rule.passed]
    assert failed == ["LoadGen's version", "seeds of the round"]


def test_an_audit_that_goes_on_or_was_killed_is_left_alone(run: Run) -> None:
    (run.folder.path / TEST).mkdir()
    (run.folder.path / TEST / DETAIL).write_text("not yet in run.json")
    with pytest.raises(RunExists, match="was audited, or is now; move it out of"):
        audit(run.folder.path, V61, NullProgress())


def test_an_edited_log_is_refused_before_anything_runs(run: Run) -> None:
    log = run.folder.path / "performance" / SUMMARY
    log.write_text(log.read_text().replace("VALID", "VERY VALID"))
    with pytest.raises(ResultProblem, match=r"mlperf_log_summary\.txt was edited"):
        audit(run.folder.path, V61, NullProgress())
    assert not (run.folder.path / TEST).exists()


def test_runs_that_cannot_be_audited_are_refused(tmp_path: Path) -> None:
    accuracy = rehearse(tmp_path / "a", modes=("accuracy",), spec=FAST)
    with pytest.raises(UsageError, match="has no performance test"):
        audit(accuracy.folder.path, V61, NullProgress())
    failed = rehearse(tmp_path / "b", spec=SimulatedSpec(fault="die", fault_after=5))
    with pytest.raises(UsageError, match="is failed and has a performance test; audit a complete"):
        audit(failed.folder.path, V61, NullProgress())
    with pytest.raises(UsageError, match="is not a run folder"):
        audit(tmp_path, V61, NullProgress())


def test_what_can_never_be_packed_is_refused_before_anything_runs(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    told = "run can never be packed, so an audit is of no use: it is a simulated run, never a"
    with pytest.raises(UsageError, match=told):
        audit(run.folder.path, V61, NullProgress())
    assert not (run.folder.path / TEST).exists()
    record = run.record.model_copy(update={"engine": engine_manifest(), "marks": ("short",)})
    first, second, third = never_packed(record, V61)
    assert first.startswith("it is a short run; run it without --count and --duration")
    assert second.startswith("it has no complete accuracy test; run it with --mode both")
    assert third.startswith("its 16 samples are not those of any benchmark of round v6.1")


def test_a_dataset_that_is_gone_is_named(tmp_path: Path) -> None:
    run = rehearse(tmp_path, spec=FAST)
    shutil.rmtree(tmp_path / "dataset")
    with pytest.raises(UsageError, match="prepare it again with `enginebench dataset`"):
        audit(run.folder.path, V61, NullProgress())


def test_a_dataset_whose_description_is_broken_is_named(tmp_path: Path) -> None:
    run = rehearse(tmp_path, spec=FAST)
    (tmp_path / "dataset" / "dataset.json").write_text("{")
    with pytest.raises(UsageError, match="prepare it again with `enginebench dataset`"):
        audit(run.folder.path, V61, NullProgress())


def test_a_broken_job_is_an_edited_file(run: Run) -> None:
    (run.folder.path / "performance" / "job.json").write_text("{")
    with pytest.raises(ResultProblem, match=r"performance/job\.json was edited"):
        audit(run.folder.path, V61, NullProgress())


def test_another_engine_than_the_runs_is_not_audited(run: Run) -> None:
    edit_record(run.folder.path, engine=engine_manifest())
    with pytest.raises(ResultProblem, match=r"engine\.json is missing; run again"):
        audit(run.folder.path, V61, NullProgress())


def test_an_engine_that_dies_is_a_failed_audit(tmp_path: Path) -> None:
    run = rehearse(tmp_path, Scenario.SINGLE_STREAM, spec=DYING)
    finished = audit(run.folder.path, V61, NullProgress())
    assert (finished.record.status, finished.exit_code) == ("failed", 4)
    assert finished.record.cause == "the simulated engine died at answer 40, as told"
    assert "clean exit: measured the simulated engine died" in finished.verdict.sentence
    assert Run.read(run.folder.path).record.audits[TEST] == finished.record


def test_an_audit_that_failed_is_repeated_once_it_is_moved_away(tmp_path: Path) -> None:
    run = rehearse(tmp_path, Scenario.SINGLE_STREAM, spec=DYING)
    audit(run.folder.path, V61, NullProgress())
    (run.folder.path / TEST).rename(tmp_path / "failed")
    job = run.folder.path / "performance" / "job.json"
    write_json(job, make_job(make_dataset(tmp_path / "dataset"), FAST).to_json())
    with pytest.raises(ResultProblem, match=r"performance/job\.json was edited"):
        audit(run.folder.path, V61, NullProgress())
    # the engine is mended
    Run.read(run.folder.path).changed(files=run.folder.digests(), executor=FAST)
    assert run_audit(run.folder.path)[0] == 0
    assert Run.read(run.folder.path).record.audits[TEST].status == "complete"


def test_a_complete_audit_is_repeated_once_it_is_removed(run: Run) -> None:
    assert run_audit(run.folder.path)[0] == 0
    shutil.rmtree(run.folder.path / TEST)
    edited = Run.read(run.folder.path).record.model_copy(update={"command": "mine"})
    before = run.folder.record.read_bytes()
    write_json(run.folder.record, edited.to_json())
    with pytest.raises(ResultProblem, match=r"run\.json was edited"):
        audit(run.folder.path, V61, NullProgress())
    run.folder.record.write_bytes(before)
    assert run_audit(run.folder.path)[0] == 0


def test_an_audit_config_in_the_working_directory_is_not_picked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "audit.config").write_text("*.*.accuracy_log_sampling_target = 7\n")
    run = rehearse(tmp_path / "here", spec=FAST)
    assert (
        logs.read_detail(run.folder.path / "performance").values[
            "effective_accuracy_log_sampling_target"
        ]
        == 0
    )
    assert run_audit(run.folder.path)[0] == 0


def test_the_audit_config_has_loadgens_form() -> None:
    lines = audit_config(SETTINGS).splitlines()
    assert "*.*.accuracy_log_sampling_target = 100" in lines
    assert len(lines) == len(SETTINGS)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The logs of a sound TEST06 of a Server run."""
    run = rehearse(tmp_path_factory.mktemp("audited"), Scenario.SERVER, spec=FAST)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("harness.runs.audit.never_packed", lambda record, chosen: iter(()))
        run_audit(run.folder.path)
    return run.folder.path / TEST


def judged(audited: Path, tmp_path: Path, plan: LoadgenPlan, **answer: object) -> dict[str, str]:
    """Failed rules, and the official lines, when answer 3 of the log has these fields."""
    folder = tmp_path / "test"
    shutil.copytree(audited, folder)
    entries = json.loads((folder / ACCURACY).read_text())
    entries[3] |= {"token_data": hexed(100)} | answer
    (folder / ACCURACY).write_text(json.dumps(entries))
    job = make_job(make_dataset(tmp_path / "dataset"))
    verdict = verify(AuditFolder(folder), plan, V61, job)
    text = (folder / "verify_accuracy.txt").read_text()
    assert ("verification complete" in text) is verdict.valid
    return {rule.name: rule.measured for rule in verdict.rules if not rule.passed}


def hexed(*ids: int) -> str:
    return np.array(ids, np.int32).tobytes().hex()


SERVER = make_plan(Scenario.SERVER)


@pytest.mark.skipif(REPOSITORY is None, reason="MLPERF_INFERENCE_REPO names no checkout")
def test_the_official_verification_says_the_same(audited: Path, tmp_path: Path) -> None:
    script = Path(str(REPOSITORY)) / "compliance" / TEST / "run_verification.py"
    options = ["-c", str(audited), "-o", str(tmp_path), "-s", "Server", "-e", str(EOS)]
    subprocess.run([sys.executable, str(script), *options], check=True, capture_output=True)
    for name in ("verify_accuracy.txt", "accuracy/mlperf_log_accuracy.json"):
        assert (tmp_path / TEST / name).read_bytes() == (audited / name).read_bytes()


@pytest.mark.parametrize(
    ("answer", "rules", "line"),
    [
        # the official verification compares ids with text, and lets both of these pass
        ({"data": hexed(100, 7, EOS, EOS), "token_count": 4}, ["EOS check"], "EOS"),
        ({"data": hexed(100, EOS, 7, 8), "token_count": 4}, ["EOS check"], "EOS"),
        ({"token_data": hexed(101)}, ["first tokens"], "First token"),
        ({"token_data": ""}, ["first tokens"], "First token"),
        ({"token_count": 6}, ["tokens reported"], "Sample length"),
        ({"data": hexed(*[100] * 129), "token_count": 129}, ["longest answer"], "Sample length"),
        ({"data": "", "token_count": 0}, ["first tokens", "shortest answer"], "Sample length"),
    ],
)
def test_each_wrong_answer_fails_its_check(
    audited: Path, tmp_path: Path, answer: dict[str, object], rules: list[str], line: str
) -> None:
    assert list(judged(audited, tmp_path, SERVER, **answer)) == rules
    said = (tmp_path / "test" / "verify_accuracy.txt").read_text()
    assert f"{line} check pass: False" in said


@pytest.mark.parametrize(
    "answer",
    [
        {"data": hexed(100, 7, 8, EOS), "token_count": 4},  # one id of end belongs there
        {"data": hexed(*[100] * 128), "token_count": 128},
    ],
)
def test_right_answers_pass(audited: Path, tmp_path: Path, answer: dict[str, object]) -> None:
    assert judged(audited, tmp_path, SERVER, **answer) == {}


def test_the_logs_of_an_ordinary_test_are_no_audit(tmp_path: Path) -> None:
    run = rehearse(tmp_path, Scenario.OFFLINE, ("accuracy",), FAST)
    folder = run.folder.path / "accuracy"
    (folder / "accuracy").mkdir()
    job = make_job(make_dataset(tmp_path / "d"))
    verdict = verify(AuditFolder(folder), make_plan(Scenario.OFFLINE), V61, job)
    failed = {rule.name: rule.measured for rule in verdict.rules if not rule.passed}
    assert "accuracy_log_sampling_target = 0" in failed["audit settings"]
