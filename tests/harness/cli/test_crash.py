"""The last resort: what goes wrong is one sentence, an exit code and a log, and ends in time."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.cli.main import run
from harness.runs import engine_choice
from tests.harness.cli.line import Line, Said

ROOT = Path(__file__).parents[3]


class Panic(BaseException):
    """As pyo3's PanicException: no Exception."""


class Speechless(Exception):
    def __str__(self) -> str:
        raise ValueError("nothing to say")


def _recurse() -> None:
    _recurse()


def _exit() -> None:
    sys.exit(0)


def _raise(error: BaseException) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


@pytest.fixture
def crash(
    line: Line, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Callable[[], None]], Said]:
    def call(fail: Callable[[], None]) -> Said:
        monkeypatch.setattr(engine_choice, "build_spec", lambda *_: fail())
        return line("build", "--model", tiny, "--recipe", "bf16", "--json")

    return call


def log_of(said: Said) -> Path:
    (found,) = re.findall(r"its traceback is kept in (\S+\.log); ", said.document["error"])
    return Path(found)


@pytest.mark.parametrize(
    ("fail", "told"),
    [
        (_raise(AssertionError("ours")), "(AssertionError: ours)"),
        (_recurse, "(RecursionError: maximum recursion depth exceeded"),
        (_raise(MemoryError()), "(MemoryError)"),
        (_raise(Panic("called `Option::unwrap()`")), "(Panic: called `Option::unwrap()`)"),
        (_raise(Speechless()), "(Speechless)"),
        (_exit, "(SystemExit: 0)"),
        (_raise(AssertionError("two\n  lines \x1b[2J")), "two lines \x1b[2J"),
        (_raise(ValueError("x" * 10_000)), "x..."),
        (_raise(UnicodeEncodeError("utf-8", "\udce9", 0, 1, "no")), "(UnicodeEncodeError: "),
    ],
)
def test_what_nobody_expected_is_one_sentence_and_a_log(
    crash: Callable[[Callable[[], None]], Said],
    fail: Callable[[], None],
    told: str,
    tmp_path: Path,
) -> None:
    said = crash(fail)
    assert said.code == 4
    assert said.document["exit_code"] == 4
    *_, last = said.err.splitlines()
    assert last.startswith("enginebench: An unexpected error ended the command (")
    assert told in said.document["error"]
    assert len(last) < 1000
    log = log_of(said)
    assert log.parent == tmp_path / "home" / "crashes"
    text = log.read_text(encoding="utf-8")
    assert len(text) < 300_000
    assert "Traceback (most recent call last)" in text


def test_a_log_says_what_a_report_needs_and_keeps_secrets(
    crash: Callable[[Callable[[], None]], Said], monkeypatch: pytest.MonkeyPatch, tiny: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    text = log_of(crash(_raise(AssertionError("ours")))).read_text(encoding="utf-8")
    assert f"build --model {tiny} --recipe bf16 --json" in text
    for name in ("platform", "python", "version     numpy", "version     mlcommons-loadgen"):
        assert re.search(rf"^{name} +\S+", text, re.MULTILINE), name
    assert "AssertionError: ours" in text
    assert "test_crash.py" in text
    assert "hf_secret" not in text


def test_a_traceback_is_kept_when_no_facts_are_found(
    crash: Callable[[Callable[[], None]], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.python_version", _raise(ValueError("who knows")))
    text = log_of(crash(_raise(AssertionError("ours")))).read_text(encoding="utf-8")
    assert "AssertionError: ours" in text
    assert "who knows" not in text


def test_two_crashes_of_a_second_keep_two_logs(
    crash: Callable[[Callable[[], None]], Said],
) -> None:
    first, second = (log_of(crash(_raise(AssertionError(name)))) for name in ("one", "two"))
    assert first != second
    assert first.parent == second.parent
    assert "AssertionError: one" in first.read_text()
    assert "AssertionError: two" in second.read_text()


def test_without_a_cache_the_log_lies_where_temporary_files_go(
    crash: Callable[[Callable[[], None]], Said], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "file" / "below"))
    log = log_of(crash(_raise(AssertionError("ours"))))
    assert log.parent == tmp_path / "temporary"
    assert "AssertionError: ours" in log.read_text()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    said = crash(_raise(AssertionError("ours")))
    assert said.code == 4
    assert said.document["error"].endswith(
        "(AssertionError: ours): its traceback could be kept nowhere."
    )


def test_a_second_interrupt_while_the_first_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.main._call", interrupt)
    monkeypatch.setattr("harness.cli.main._report", interrupt)
    assert run(["targets"]) == 130


def test_no_library_that_prints_is_needed_to_say_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.cli.output.Output.error", fail)
    assert run(["no-such-command"]) == 2
    assert capsys.readouterr().err.startswith("enginebench: Unknown command `no-such-command`.")


def test_no_memory_for_the_last_words(
    crash: Callable[[Callable[[], None]], Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("harness.cli.crash.last_words", fail)
    said = crash(_raise(MemoryError()))
    assert said.code == 4
    assert said.document["error"] == "An unexpected error ended the command (MemoryError)."


_SLOW_TO_END = """
import sys, threading, time
from harness.cli import main

def call(arguments):
    try:
        print("begun", flush=True)
        time.sleep(60)
    finally:
        if "clean" in arguments:
            print("cleaning", flush=True)
            time.sleep(60)
        if "thread" in arguments:
            threading.Thread(target=time.sleep, args=(60,)).start()

main._call = call
main.main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("slow", "before_the_second"), [("clean", "cleaning"), ("thread", None)])
def test_a_second_signal_ends_what_the_first_left(
    number: signal.Signals, slow: str, before_the_second: str | None
) -> None:
    """Slow to clean up, or a thread that Python would wait for."""
    with subprocess.Popen(
        [sys.executable, "-c", _SLOW_TO_END, slow],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        if before_the_second:
            assert process.stdout.readline() == f"{before_the_second}\n"
        else:
            assert process.stderr.readline() == "enginebench: Interrupted.\n"
            time.sleep(0.5)  # until Python waits for the thread
        began_s = time.monotonic()
        process.send_signal(number)
        assert process.wait(timeout=20) == 130
        assert time.monotonic() - began_s < 10
        rest = process.stderr.read()
    assert "Traceback" not in rest
    assert rest == ("enginebench: Interrupted.\n" if before_the_second else "")


def test_a_folder_that_is_gone(line: Line, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        assert line("targets").code == 0
        assert line("run", "--model", "m", "--recipe", "bf16").code == 2
    finally:
        os.chdir(tmp_path)


def test_a_library_that_crashes_says_where() -> None:
    code = (
        "import os, signal\n"
        "from harness.cli import main\n"
        "main.run = lambda arguments: os.kill(os.getpid(), signal.SIGSEGV)\n"
        "main.main()\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == -signal.SIGSEGV
    assert "Segmentation fault" in ended.stderr
    assert '"<string>", line 3' in ended.stderr
