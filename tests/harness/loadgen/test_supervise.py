"""LoadGen tests in their own process: each scenario to its end, and each way a test goes wrong."""

from __future__ import annotations

import _thread  # Ctrl-C for the tests' own process, which a real one sometimes ended
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from harness.figures import ProgressFigures
from harness.loadgen import logs, supervise
from harness.loadgen.folder import ACCURACY
from harness.loadgen.job import Job, Probe
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.loadgen.supervise import Outcome, run_test
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import (
    NUM_SAMPLES,
    make_dataset,
    make_job,
    make_plan,
    rehearse_elsewhere,
    worker_pids,
)
from tests.toy.install import install_toy, write_toy
from tests.toy.spec import ToySpec

FAST = SimulatedSpec(num_tokens=5)


def start(
    tmp_path: Path, job: Job, plan: LoadgenPlan, *, silence_s: float = 30.0
) -> tuple[Outcome, Path]:
    folder = tmp_path / "test"
    folder.mkdir(exist_ok=True)

    def plan_for(probe: Probe) -> LoadgenPlan:
        assert probe.samples_per_s > 0
        return plan

    return run_test(job, plan_for, folder, NullProgress(), silence_s=silence_s), folder


def processes_in(folder: Path) -> list[str]:
    """Processes whose working directory or command line is in `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode().replace("\0", " ")
            if str(folder) in command or str(folder) in str((entry / "cwd").readlink()):
                found.append(command)
        except OSError:
            continue
    return found


@pytest.mark.parametrize(
    "scenario", [Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE, Scenario.SINGLE_STREAM]
)
def test_a_performance_test_completes_and_loadgen_calls_it_valid(
    tmp_path: Path, scenario: Scenario
) -> None:
    # 64 is what LoadGen wants for a p90; p99 needs more than a test should run.
    count = 700 if scenario.has_rate else 64
    dataset = make_dataset(tmp_path / "dataset", count)
    plan = make_plan(scenario, num_samples=count, qps=400.0)
    outcome, folder = start(tmp_path, make_job(dataset, FAST), plan)
    assert (outcome.status, outcome.cause) == ("complete", None)
    assert not (folder / "partial.jsonl").exists()
    log = logs.read_detail(folder)
    assert log.errors == ()
    assert log.valid, log.invalid_reasons
    counts = json.loads((folder / "token_counts.json").read_text())
    assert counts == [5] * plan.num_queries == [5] * count
    if scenario.has_first_tokens:
        assert (log.metrics().ttft_p99_s or 0.0) > 0
    assert processes_in(tmp_path) == []


def test_a_backend_that_was_installed_is_found_by_loadgens_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_toy(tmp_path / "site", monkeypatch)
    spec = ToySpec(folder=write_toy(tmp_path / "engine", [7, 8, 9]))
    job = make_job(make_dataset(tmp_path / "dataset"), spec)
    outcome, folder = start(tmp_path, job, make_plan(Scenario.SERVER, "accuracy"))
    assert (outcome.status, outcome.cause) == ("complete", None)
    assert outcome.probe is not None
    assert outcome.probe.prefix_caching
    assert all(answer.ids.tolist() == [7, 8, 9] for answer in logs.read_answers(folder))
    assert processes_in(tmp_path) == []


def test_an_engine_that_crashes_in_its_own_process_ends_the_test_with_its_obituary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_toy(tmp_path / "site", monkeypatch)
    spec = ToySpec(folder=write_toy(tmp_path / "engine", [7]), fault="crashes")
    outcome, _ = start(tmp_path, make_job(make_dataset(tmp_path / "dataset"), spec), make_plan())
    assert outcome.status == "failed"
    assert outcome.cause is not None
    assert outcome.cause.startswith("the engine died: its process was ended by SIGSEGV; its last")
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize("scenario", [Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLE_STREAM])
def test_the_accuracy_log_holds_each_sample_once_as_int32(
    tmp_path: Path, scenario: Scenario
) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    outcome, folder = start(tmp_path, make_job(dataset, FAST), make_plan(scenario, "accuracy"))
    assert outcome.status == "complete"
    entries = json.loads((folder / ACCURACY).read_text())
    assert sorted(entry["qsl_idx"] for entry in entries) == list(range(NUM_SAMPLES))
    for entry in entries:
        ids = np.frombuffer(bytes.fromhex(entry["data"]), np.int32)
        assert ids.tolist() == [100, 101, 102, 103, 104]
        assert entry["token_count"] == 5
    if scenario.has_first_tokens:
        assert all(e["token_data"] == e["data"][: len(e["token_data"])] != "" for e in entries)


def test_the_first_token_comes_first_even_when_it_is_also_the_last(tmp_path: Path) -> None:
    # Instant answers come as one chunk; LoadGen logs an error for a completion before a first
    # token.
    dataset = make_dataset(tmp_path / "dataset")
    outcome, folder = start(tmp_path, make_job(dataset, FAST), make_plan(Scenario.SERVER))
    assert outcome.status == "complete"
    assert logs.read_detail(folder).errors == ()


@pytest.mark.parametrize("mode", ["performance", "accuracy"])
def test_a_dead_engine_ends_the_test_with_its_cause(tmp_path: Path, mode: Mode) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    spec = SimulatedSpec(num_tokens=5, fault="die", fault_after=13)  # after the warm-up's eight
    outcome, _ = start(tmp_path, make_job(dataset, spec), make_plan(Scenario.SINGLE_STREAM, mode))
    assert outcome.status == "failed"
    assert outcome.cause == "the simulated engine died at answer 13, as told"
    assert outcome.figures is not None
    assert outcome.figures.done == 5
    assert processes_in(tmp_path) == []


def test_a_failed_request_ends_the_test_and_names_the_sample(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    spec = SimulatedSpec(num_tokens=5, fault="error", fault_after=9)
    outcome, _ = start(tmp_path, make_job(dataset, spec), make_plan(Scenario.OFFLINE))
    assert outcome.status == "failed"
    assert outcome.cause is not None
    assert outcome.cause.startswith("the engine failed on sample ")
    assert outcome.cause.endswith(": failed as told")


def test_an_engine_that_does_not_start_is_a_failed_test(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    spec = SimulatedSpec(fault="die", fault_after=0)
    outcome, _ = start(tmp_path, make_job(dataset, spec), make_plan())
    assert outcome.status == "failed"
    assert outcome.cause == "the simulated engine died at answer 0, as told"
    assert outcome.plan is None


def test_a_lost_sample_does_not_hang_the_test(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    spec = SimulatedSpec(num_tokens=5, fault="drop", fault_after=13)
    outcome, folder = start(
        tmp_path, make_job(dataset, spec, stall_s=1.0), make_plan(Scenario.OFFLINE)
    )
    assert outcome.status == "failed"
    assert outcome.cause is not None
    assert "while 1 query was open" in outcome.cause
    kept = (folder / "partial.jsonl").read_text().splitlines()
    assert len(kept) == NUM_SAMPLES - 1
    assert processes_in(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGKILL, "ended by SIGKILL"), (signal.SIGSEGV, "ended by SIGSEGV")],
)
def test_a_crash_of_loadgens_process_is_noticed(
    tmp_path: Path, number: signal.Signals, expected: str
) -> None:
    outcome, folder = interfere(tmp_path, lambda pid: os.kill(pid, number))
    assert outcome.status == "failed"
    assert outcome.cause is not None
    assert expected in outcome.cause
    rows = [json.loads(line) for line in (folder / "partial.jsonl").read_text().splitlines()]
    assert outcome.figures is not None
    assert len(rows) == outcome.figures.done > 0  # all that it told of
    assert set(rows[0]) == {"sample", "ttft_s", "latency_s", "num_tokens"}
    assert processes_in(tmp_path) == []


def test_a_process_that_goes_silent_is_ended(tmp_path: Path) -> None:
    outcome, _ = interfere(tmp_path, lambda pid: os.kill(pid, signal.SIGSTOP), silence_s=2.0)
    assert outcome.status == "failed"
    assert outcome.cause == "LoadGen's process said nothing for 2 s"
    assert processes_in(tmp_path) == []


def test_a_supervisor_that_was_stopped_for_long_goes_on(tmp_path: Path) -> None:
    """Ctrl-Z stops us and not LoadGen's process: its words wait in the pipe when we wake up."""
    supervisor = _run_elsewhere(
        "import sys, runpy; from harness.loadgen.supervise import run_test\n"
        "run_test.__kwdefaults__['silence_s'] = 2.0\n"
        f"sys.argv[1:] = {str(tmp_path)!r}, '100'\n"
        "runpy.run_module('tests.harness.rehearsal', run_name='__main__')"
    )
    _wait(lambda: (tmp_path / "run" / "progress.jsonl").exists())
    supervisor.send_signal(signal.SIGSTOP)
    time.sleep(4.0)
    supervisor.send_signal(signal.SIGCONT)
    assert supervisor.wait(60.0) == 0


def test_an_engine_that_is_slow_alone_may_be_silent_for_longer(tmp_path: Path) -> None:
    spec = SimulatedSpec(num_tokens=2, ttft_s=0.6)
    job = make_job(make_dataset(tmp_path / "dataset"), spec, stall_s=0.2)
    outcome, _ = start(tmp_path, job, make_plan(Scenario.OFFLINE))
    assert (outcome.status, outcome.cause) == ("complete", None)


def test_sigterm_again_and_again_leaves_no_process(tmp_path: Path) -> None:
    """Not even LoadGen's own process when it cannot follow: here it is stopped."""
    supervisor = rehearse_elsewhere(tmp_path)
    folder = tmp_path / "run" / "performance"
    _wait(lambda: (folder / "mlperf_log_detail.txt").exists())
    (worker,) = worker_pids(folder)
    os.kill(worker, signal.SIGSTOP)
    for _ in range(3):
        supervisor.send_signal(signal.SIGTERM)
        time.sleep(0.5)
    assert supervisor.wait(30.0) == 130
    _wait(lambda: worker_pids(folder) == [], 2.0)


def test_ctrl_c_keeps_what_was_measured_and_leaves_no_process(tmp_path: Path) -> None:
    outcome, folder = interfere(tmp_path, lambda pid: _thread.interrupt_main())
    assert (outcome.status, outcome.cause) == ("interrupted", "stopped by the user")
    rows = [json.loads(line) for line in (folder / "partial.jsonl").read_text().splitlines()]
    assert outcome.figures is not None
    assert len(rows) == outcome.figures.done > 0
    assert set(rows[0]) == {"sample", "ttft_s", "latency_s", "num_tokens"}
    assert processes_in(tmp_path) == []


def test_ctrl_c_while_the_engine_warms_up_waits_for_nothing(tmp_path: Path) -> None:
    supervisor = _run_elsewhere(
        "from pathlib import Path\n"
        "from harness.loadgen import supervise\n"
        "supervise._STOP_GRACE_S = 600.0\n"
        "from runtime.simulated import SimulatedSpec\n"
        "from tests.harness.rehearsal import rehearse\n"
        f"rehearse(Path({str(tmp_path)!r}), spec=SimulatedSpec(ttft_s=600.0))"
    )
    folder = tmp_path / "run" / "performance"
    _wait(lambda: worker_pids(folder) != [])
    time.sleep(1.0)  # its start is behind us, and its warm-up takes for ever
    supervisor.send_signal(signal.SIGINT)
    assert supervisor.wait(60.0) == 0
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "interrupted"
    assert processes_in(tmp_path) == []


def interfere(tmp_path: Path, act: object, *, silence_s: float = 30.0) -> tuple[Outcome, Path]:
    """Run a test that takes long, and `act` on its process once some answers are there."""
    assert callable(act)
    dataset = make_dataset(tmp_path / "dataset", 400)
    spec = SimulatedSpec(num_tokens=5, samples_per_s=20.0)
    plan = make_plan(Scenario.OFFLINE, num_samples=400)
    folder = tmp_path / "test"
    folder.mkdir()
    acted = threading.Event()

    def on_figures(figures: ProgressFigures) -> None:
        if figures.done and not acted.is_set():
            acted.set()
            (pid,) = worker_pids(folder)
            act(pid)

    outcome = run_test(
        make_job(dataset, spec),
        lambda probe: plan,
        folder,
        NullProgress(),
        on_figures=on_figures,
        silence_s=silence_s,
    )
    assert acted.is_set()
    return outcome, folder


def test_the_process_ends_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    supervisor = rehearse_elsewhere(tmp_path)
    folder = tmp_path / "run" / "performance"
    _wait(lambda: worker_pids(folder) != [])
    supervisor.kill()
    supervisor.wait()
    _wait(lambda: worker_pids(folder) == [])


def _run_elsewhere(code: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", code], cwd=Path(__file__).parents[3])


def _wait(condition: object, limit_s: float = 60.0) -> None:
    assert callable(condition)
    deadline_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline_s, "the condition did not come about"
        time.sleep(0.05)


def test_an_audit_config_in_the_working_directory_is_not_picked_up(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    folder = tmp_path / "test"
    folder.mkdir()
    (folder / "audit.config").write_text("*.*.min_query_count = 7\n*.*.mode = 2\n")
    outcome, _ = start(
        tmp_path, make_job(dataset, FAST), make_plan(Scenario.SINGLE_STREAM, "accuracy")
    )
    assert outcome.status == "complete"
    values = logs.read_detail(folder).values
    assert values["effective_test_mode"] == "AccuracyOnly"
    assert values["requested_min_query_count"] == NUM_SAMPLES - 1


def test_two_tests_in_a_row_both_get_mlperfs_own_settings(tmp_path: Path) -> None:
    # LoadGen applies its built-in conf once per process: a second test would have seeds of 0.
    dataset = make_dataset(tmp_path / "dataset")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        _, folder = start(tmp_path / name, make_job(dataset, FAST), make_plan(Scenario.SERVER))
        values = logs.read_detail(folder).values
        assert values["effective_qsl_rng_seed"] != 0
        assert values["requested_use_token_latencies"] is True
        assert values["requested_server_ttft_latency"] == 2_000_000_000


def test_the_big_trace_file_is_off(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    _, folder = start(tmp_path, make_job(dataset, FAST), make_plan())
    assert (folder / "mlperf_log_trace.json").stat().st_size == 0


def test_what_the_plan_raises_is_raised_after_the_process_has_ended(tmp_path: Path) -> None:
    dataset = make_dataset(tmp_path / "dataset")
    folder = tmp_path / "test"
    folder.mkdir()

    def refuse(probe: Probe) -> LoadgenPlan:
        raise ValueError("no plan for this")

    with pytest.raises(ValueError, match="no plan for this"):
        run_test(make_job(dataset, FAST), refuse, folder, NullProgress())
    assert processes_in(tmp_path) == []


def test_a_relative_pythonpath_still_finds_the_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process works in the folder of its test, where `lib` would be another place."""
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "sitecustomize.py").write_text("print('found it')")
    monkeypatch.chdir(tmp_path)
    top = Path(supervise.__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"lib{os.pathsep}{top}")
    job = make_job(make_dataset(tmp_path / "dataset"), FAST)
    outcome, folder = start(tmp_path, job, make_plan(mode="accuracy"))
    assert outcome.status == "complete"
    assert "found it" in (folder / "process.log").read_text()
