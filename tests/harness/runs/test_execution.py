"""A whole run over a simulated executor: its folder, its record, and its exit code."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

import pytest

from build_engine.errors import DatasetError, EnvironmentFault, RunExists
from build_engine.store.engine import Engine
from harness.dataset.prepared import Dataset
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.execution import execute
from harness.runs.request import RunRequest
from harness.runs.run import Run
from harness.runs.scope import RunScope
from runtime.simulated import SimulatedSpec
from runtime.spec import ExecutorSpec
from tests.build_engine.manifests import make_manifest
from tests.harness import rehearsal
from tests.harness.dataset.records import make_record
from tests.harness.rehearsal import NUM_SAMPLES, rehearse, rehearse_elsewhere, worker_pids

FAST = SimulatedSpec(num_tokens=5)


def test_a_run_that_has_no_room_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(spec: ExecutorSpec) -> None:
        raise EnvironmentFault("too little memory")

    monkeypatch.setattr("harness.runs.execution.require_room", refuse)
    with pytest.raises(EnvironmentFault, match="too little memory"):
        rehearse(tmp_path, spec=FAST)
    assert not [path for path in tmp_path.rglob("*") if path.name == "run.json"]


def test_a_run_of_both_modes_keeps_logs_metrics_and_verdicts(tmp_path: Path) -> None:
    run = rehearse(tmp_path, modes=("performance", "accuracy"), spec=FAST)
    assert run.exit_code == 0
    record = run.record
    assert Run.read(run.folder.path) == run
    assert record.status == "complete"
    assert record.marks == ("simulated", "demo workload", "short")
    performance = record.tests.performance
    assert performance is not None and performance.metrics is not None
    assert performance.metrics.samples_per_s is not None
    assert performance.metrics.samples_per_s > 0
    assert list(record.tests.begun) == ["performance", "accuracy"]
    for mode, test in record.tests.begun.items():
        assert test.verdict.sentence == "VALID"
        assert test.plan is not None
        assert test.plan.num_samples == NUM_SAMPLES
        assert f"{mode}/mlperf_log_detail.txt" in record.files
    assert record.files == run.folder.digests()
    lines = (run.folder.path / "progress.jsonl").read_text().splitlines()
    assert {json.loads(line)["test"] for line in lines} == {"performance", "accuracy"}


@pytest.mark.parametrize(
    ("scenario", "benchmark", "mark"),
    [
        (Scenario.OFFLINE, "llama3.1-8b", ()),
        (Scenario.SINGLE_STREAM, None, ("no MLPerf scenario",)),
    ],
)
def test_the_benchmarks_name_is_for_the_scenarios_that_it_has(
    tmp_path: Path, scenario: Scenario, benchmark: str | None, mark: tuple[str, ...]
) -> None:
    made = rehearsal.make_dataset(tmp_path / "dataset")
    workload = load_workload("llama3.1-8b")
    request = RunRequest(
        scope=RunScope(workload=workload, scenario=scenario, num_samples=NUM_SAMPLES),
        modes=["accuracy"],
        dataset=Dataset(made.folder, make_record(benchmark="llama3.1-8b")),
        engine=None,
        executor=FAST,
        folder=tmp_path / "run",
        command="enginebench run",
    )
    record = execute(request, NullProgress()).record
    assert record.benchmark == benchmark
    assert record.marks == ("simulated", *mark, "short")
    assert record.workload == workload


@pytest.mark.parametrize("scenario", Scenario)
def test_an_engine_is_asked_for_first_tokens_where_they_have_times(
    tmp_path: Path, scenario: Scenario
) -> None:
    request = RunRequest(
        scope=rehearsal.make_scope(scenario),
        modes=["performance"],
        dataset=rehearsal.make_dataset(tmp_path / "dataset"),
        engine=None,
        executor=FAST,
        folder=tmp_path / "run",
        command="enginebench run",
    )
    assert request.job.first_tokens is scenario.has_first_tokens


def test_our_verdict_agrees_with_loadgens(tmp_path: Path) -> None:
    # 16 queries are too few for the percentiles of Server.
    run = rehearse(tmp_path, Scenario.SERVER, spec=FAST)
    test = run.record.tests.performance
    assert test is not None and test.loadgen is not None
    assert test.loadgen.validity == "INVALID"
    assert not test.verdict.valid
    assert "early stopping" in test.verdict.sentence
    assert run.exit_code == 1


def test_answers_of_one_token_are_invalid_though_loadgen_may_not_mind(tmp_path: Path) -> None:
    run = rehearse(tmp_path, Scenario.OFFLINE, spec=SimulatedSpec(num_tokens=1))
    test = run.record.tests.performance
    assert test is not None
    assert "no LoadGen errors: measured" in test.verdict.sentence
    assert run.exit_code == 1


def test_a_failed_test_ends_the_run_with_its_cause(tmp_path: Path) -> None:
    spec = SimulatedSpec(num_tokens=5, fault="die", fault_after=20)
    run = rehearse(tmp_path, Scenario.SINGLE_STREAM, ("performance", "accuracy"), spec)
    assert run.exit_code == 4
    record = Run.read(run.folder.path).record
    assert record.status == "failed"
    assert record.cause == "the simulated engine died at answer 20, as told"
    assert list(record.tests.begun) == ["performance"]


def test_a_file_that_cannot_be_written_fails_the_run_and_keeps_what_is_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class InTheWay(NullProgress):
        """A folder where the accuracy test's user.conf would go."""

        def phase(self, name: str) -> None:
            if "accuracy: loading" in name:
                (tmp_path / "run" / "accuracy" / "user.conf").mkdir()

    monkeypatch.setattr(rehearsal, "NullProgress", InTheWay)
    run = rehearse(tmp_path, modes=("performance", "accuracy"), spec=FAST)
    assert run.exit_code == 3
    record = Run.read(run.folder.path).record
    assert record.status == "failed"
    assert record.cause is not None
    told = f"Cannot write to {run.folder.path} (Is a directory); free space"
    assert record.cause.startswith(told)
    assert record.tests.performance is not None
    assert record.tests.performance.verdict.valid
    assert record.files["performance/mlperf_log_detail.txt"]


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (KeyboardInterrupt(), "interrupted", "stopped by the user"),
        (DatasetError("the references are gone"), "failed", "the references are gone"),
        (ZeroDivisionError("ours"), "failed", "ZeroDivisionError: ours"),
    ],
)
def test_what_goes_wrong_while_scoring_leaves_the_test_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, status: str, cause: str
) -> None:
    class Broken(Dataset):
        def references(self) -> list[str]:
            raise error

    made = rehearsal.make_dataset(tmp_path / "dataset")
    engine = Engine(tmp_path, make_manifest())
    request = RunRequest(
        scope=rehearsal.make_scope(Scenario.OFFLINE),
        modes=["accuracy"],
        dataset=Broken(made.folder, made.record),
        engine=engine,
        executor=FAST,
        folder=tmp_path / "run",
        command="enginebench run",
    )
    with contextlib.suppress(ZeroDivisionError):
        execute(request, NullProgress())
    record = Run.read(tmp_path / "run").record
    assert (record.status, record.cause) == (status, cause)
    assert record.tests.accuracy is not None
    assert record.tests.accuracy.verdict.valid
    assert record.accuracy is None
    assert "accuracy/mlperf_log_accuracy.json" in record.files


def test_a_folder_with_anything_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(RunExists, match="choose another --output"):
        rehearse(tmp_path)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("number", "code", "cause"),
    [
        (signal.SIGINT, 130, "stopped by the user"),
        (signal.SIGKILL, -9, "its process was killed, or could not write to a full disk"),
    ],
)
def test_an_interrupted_run_keeps_what_was_measured(
    tmp_path: Path, number: signal.Signals, code: int, cause: str
) -> None:
    process = rehearse_elsewhere(tmp_path)
    progress = tmp_path / "run" / "progress.jsonl"
    deadline_s = time.monotonic() + 60.0
    while not progress.exists() or '"done": 0' in progress.read_text().splitlines()[-1]:
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    os.kill(process.pid, number)
    assert process.wait(30.0) == code
    record = Run.read(tmp_path / "run").record
    assert (record.status, record.cause) == ("interrupted", cause)
    assert json.loads(progress.read_text().splitlines()[-1])["done"] > 0
    if number == signal.SIGINT:
        test = record.tests.performance
        assert test is not None and test.last_figures is not None
        assert test.last_figures.done > 0
    partial = tmp_path / "run" / "performance" / "partial.jsonl"
    while worker_pids(partial.parent):  # after SIGKILL the test's process notices by itself
        assert time.monotonic() < deadline_s
        time.sleep(0.05)
    kept = partial.read_text()
    assert len(kept.splitlines()) > 0
    with pytest.raises(RunExists, match=rf"holds a run that is interrupted \({cause}\); choose"):
        rehearse(tmp_path)
    assert partial.read_text() == kept
