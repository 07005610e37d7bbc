"""A real sweep, stopped twice: nothing that was finished is lost or made again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from harness.runs.folder import RunFolder
from harness.runs.run import Run
from harness.studies.record import STUDY, read_study
from tests.faults.command import PROGRAM

ROOT = Path(__file__).parents[2]
NUM_POINTS = 6  # two engines, three times
_LIMIT_S = 240.0


def start(folder: Path) -> subprocess.Popen[bytes]:
    words = ["sweep", "--model", "newsbrief", "--recipes", "bf16,int8_wo"]
    words += ["--scenarios", "Offline", "--count", "4", "--output", str(folder)]
    words += ["--repeats", "3", "--set", "workload.max_new_tokens=8"]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def complete(folder: Path) -> dict[str, bytes]:
    """The record of each run that the study says is complete."""
    if not (folder / STUDY).exists():
        return {}
    return {
        point.folder: RunFolder(folder / point.folder).record.read_bytes()
        for point in read_study(folder).points
        if point.status == "complete" and point.folder
    }


def stopped_after(number: int, folder: Path, how: signal.Signals) -> int:
    """Start it, and stop it once so many runs are complete; its exit code."""
    with start(folder) as process:
        end_s = time.monotonic() + _LIMIT_S
        while len(complete(folder)) < number:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < end_s
            time.sleep(0.05)
        time.sleep(0.5)  # into the next run
        process.send_signal(how)
        process.communicate(timeout=60)
        return process.returncode


def test_a_sweep_that_is_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    assert stopped_after(1, folder, signal.SIGINT) == 130
    first = complete(folder)
    assert stopped_after(len(first) + 2, folder, signal.SIGKILL) == -signal.SIGKILL
    second = complete(folder)
    assert first.items() <= second.items()
    assert len(first) < len(second) < NUM_POINTS
    with start(folder) as process:
        said = process.communicate(timeout=_LIMIT_S)[1].decode()
    assert process.returncode == 0, said
    assert said.count(": measured 20") == len(second)
    third = complete(folder)
    assert second.items() <= third.items()
    assert len(third) == NUM_POINTS
    runs = [Run.read(folder / name) for name in third]
    assert all(run.record.status == "complete" for run in runs)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == set(third)
    assert not _left_running(folder)

    edited = sorted(third)[0]  # and a run is made again whose files are not what it wrote
    (folder / edited / "performance" / "mlperf_log_summary.txt").write_text("fast")
    with start(folder) as process:
        process.communicate(timeout=_LIMIT_S)
    after = complete(folder)
    assert {name for name in third if after[name] != third[name]} == {edited}


def _left_running(folder: Path) -> list[Any]:
    return [
        process.info["cmdline"]
        for process in psutil.process_iter(["cmdline"])
        if any(str(folder) in word for word in process.info["cmdline"] or ())
    ]
