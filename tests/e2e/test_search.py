"""A real search on the CPU engine, stopped twice: it ends with a run that is VALID, and no probe
that ended is made again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.runs.integrity import edits
from harness.runs.run import Run
from harness.search.record import SEARCH, SearchRecord, read_search
from tests.faults.command import PROGRAM
from tests.harness.cli.line import Line

ROOT = Path(__file__).parents[2]
_LIMIT_S = 240.0
# Rates that any machine holds, so that three probes suffice: short ones up to the highest that is
# allowed, and a whole run there. LoadGen's p99 needs 459 queries.
_ASKED = ["--count", "460", "--qps", "40", "--highest", "60"]


def words(folder: Path) -> list[str]:
    asked = ["search", "--model", "newsbrief", "--recipe", "bf16", "--scenario", "Server", *_ASKED]
    return [*asked, "--set", "workload.max_new_tokens=4", "--output", str(folder)]


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *words(folder)],
        cwd=folder.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def stopped_after(number: int, folder: Path, how: signal.Signals) -> tuple[int, SearchRecord]:
    """Start it, and stop it once so many probes have ended; its exit code and its record."""
    with start(folder) as process:
        end_s = time.monotonic() + _LIMIT_S
        while not (folder / SEARCH).exists() or len(read_search(folder).probes) < number:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < end_s
            time.sleep(0.05)
        time.sleep(0.5)  # into the next probe
        process.send_signal(how)
        process.communicate(timeout=60)
        return process.returncode, read_search(folder)


def test_a_search_ends_with_a_valid_run_and_goes_on_where_it_was(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "search"
    code, first = stopped_after(1, folder, signal.SIGINT)
    assert (code, len(first.probes), first.ended) == (130, 1, False)
    code, second = stopped_after(2, folder, signal.SIGKILL)
    assert (code, second.probes[0]) == (-signal.SIGKILL, first.probes[0])
    last = Line(capsys)(*words(folder))
    said = last.err
    assert last.code == 0, said
    done = read_search(folder)
    assert done.probes[:2] == second.probes[:2]
    kinds = [probe.outcome.kind for probe in done.probes]
    assert kinds[:2] == ["short", "short"] and "whole" in kinds
    assert done.ended and done.best is not None
    run = Run.read(folder / done.best)
    test = run.record.tests.performance
    assert test is not None and test.verdict.valid
    assert test.plan is not None
    rate = test.plan.target_qps or 0.0
    assert rate == 60.0 if done.limited else 0 < rate < 60.0  # a busy machine answers fewer
    assert not list(edits(run))
    assert f"Highest rate: {rate:g} queries/s" in said
    assert said.splitlines()[-1].startswith("Next: ")
    assert said.splitlines()[-1].endswith(f"--qps {rate:g}")
    assert "Latency by rate" in (folder / "report.html").read_text(encoding="utf-8")
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    assert names >= {".probes", done.best}
