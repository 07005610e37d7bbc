"""Ctrl-C, pressed again and again: where all lies and how it goes on is told all the same."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from harness.runs.run import Run
from tests.harness.cli.line import Line

ROOT = Path(__file__).parents[2]
TRIAL = ("--model", "newsbrief", "--recipe", "bf16", "--scenario", "Offline")
# the tests' own process may ignore the signal
PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from harness.cli.main import main; main()"
)


def pressed(
    arguments: Sequence[object], top: Path, begun: str, times: int, every_s: float
) -> tuple[int, list[str]]:
    """Run a command until `begun` is there below `top`, and press Ctrl-C so often; how it ended."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        end_s = time.monotonic() + 120
        while not list(top.glob(begun)):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < end_s
            time.sleep(0.02)
        for _ in range(times):
            process.send_signal(signal.SIGINT)
            time.sleep(every_s)
        _, said = process.communicate(timeout=60)
    return process.returncode, said.splitlines()


@pytest.mark.parametrize(("times", "every_s"), [(1, 0.1), (6, 0.02)])
def test_a_run_tells_where_it_lies(tmp_path: Path, times: int, every_s: float) -> None:
    folder = tmp_path / "run"
    arguments = ("run", *TRIAL, "--count", 200, "--duration", 600, "--output", folder)
    code, said = pressed(arguments, tmp_path, "run/progress.jsonl", times, every_s)
    assert code == 130
    assert "Traceback" not in "\n".join(said)
    assert any(str(folder) in line for line in said[-3:-1]), said
    assert said[-1].startswith("Next: ") and said[-1].endswith(f"--output {folder}-2")
    assert Run.read(folder).record.status == "interrupted"


def _stop(*_: object, **__: object) -> NoReturn:
    raise KeyboardInterrupt


def test_a_demo_and_a_sweep_tell_how_they_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    line = Line(capsys)
    monkeypatch.setattr("harness.demo.run_demo", _stop)
    monkeypatch.setattr("harness.studies.sweep._Sweeping.go", _stop)
    sweep = ("sweep", *TRIAL[:2], "--recipes", "bf16", "--count", "4")
    for command in (("demo",), sweep, ("demo", "--fresh")):
        folder = str(tmp_path / command[0])
        said = line(*command, "--output", folder)
        assert said.code == 130
        told, last = said.err.splitlines()[-2:]
        assert told.startswith("enginebench: Interrupted; ") and folder in told
        words = [command[0], *command[1:], "--output", folder]
        if "--fresh" in command:
            words = [*words[:1], *words[2:], "--fresh"]
        assert shlex.split(last) == ["Next:", "enginebench", *words]


def test_a_fresh_sweep_goes_on_without_beginning_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("harness.studies.sweep._Sweeping.go", _stop)
    monkeypatch.setattr("harness.demo._in_turns", _stop)
    sweep = ("sweep", *TRIAL[:2], "--recipes", "bf16", "--count", "4", "--output", str(tmp_path))
    for command in (sweep, ("demo", "--output", str(tmp_path))):
        said = Line(capsys)(*command, "--fresh")
        assert said.code == 130
        told, last = said.err.splitlines()[-2:]
        assert "the same command without --fresh goes on where it was" in told
        assert shlex.split(last) == ["Next:", "enginebench", *command]
