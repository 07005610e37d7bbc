"""One command of ours under a fault: how it ended, what it said, and what it left running.

A command has a temporary folder and a mark in its environment of its own, which every process that
it starts inherits.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LIMIT_S = 120.0  # on a machine that has other things to do
MOST_BYTES = 10**9
_POLL_S = 0.02
_STRAY_S = 15.0  # for what was orphaned to notice
_TRACEBACK = re.compile(
    r"Traceback \(most recent|panicked at|Exception ignored in|^  File \"", re.M
)
_MOST_CHARS = 1500  # of the sentence of a refusal
_MARK = "ENGINEBENCH_FAULT_TRIAL"
PROGRAM = "import sys; from harness.cli.main import main; main()"


@dataclass(frozen=True, slots=True)
class Kill:
    """Signals at moments after the start, in seconds; to the command, or to a process whose command
    line has `target` in it.
    """

    signals: tuple[tuple[float, signal.Signals], ...]
    target: str | None = None

    def __str__(self) -> str:
        told = ", ".join(f"{number.name} at {moment_s:.2f} s" for moment_s, number in self.signals)
        return f"{told} to {self.target}" if self.target else told


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended; `code` is None for one that had to be ended."""

    code: int | None
    seconds: float
    peak_bytes: int
    out: str
    err: str
    strays: tuple[str, ...]
    temporary: tuple[str, ...]

    def problems(self, *codes: int) -> list[str]:
        """What is wrong with it, each beginning with its kind; `codes` are the right exit codes."""
        found = []
        if self.code is None:
            found.append(f"hang: no end within {self.seconds:.0f} s")
        elif codes and self.code not in codes:
            found.append(f"loss: exit code {self.code} instead of {codes}: {self.last[:300]}")
        if _TRACEBACK.search(self.out + self.err) or "unexpected error" in self.err:
            found.append(f"traceback: {self.last[:300]}")
        if self.peak_bytes > MOST_BYTES:
            found.append(f"hang: {self.peak_bytes / 1e6:.0f} MB of memory")
        if self.code in (2, 3) and self.err and not _is_sentence(self.last):
            found.append(f"traceback: no sentence: {self.last[:300]}")
        if re.search("[\x00-\x08\x0b-\x1f\x7f\x80-\x9f\u202a-\u202e]", self.err + self.out):
            found.append("traceback: a control character reached the terminal")
        found += [f"leftover: process {stray}" for stray in self.strays]
        found += [f"leftover: {name} in the temporary folder" for name in self.temporary]
        return found

    @property
    def last(self) -> str:
        """The last line that it said."""
        lines = self.err.strip().splitlines()
        return lines[-1] if lines else ""


def _is_sentence(line: str) -> bool:
    return line.startswith("enginebench: ") and len(line) < _MOST_CHARS


@dataclass(frozen=True, slots=True)
class Place:
    """Where commands run: a working folder with a cache of its own."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """The cache."""
        return self.folder / "home"

    def run(
        self,
        *words: object,
        kill: Kill | None = None,
        redirect: str = "",
        limits: Sequence[tuple[int, int]] = (),
        limit_s: float = LIMIT_S,
    ) -> Ended:
        """Run a command line to its end. `redirect` is a shell's, `limits` are (resource, value)
        pairs.
        """
        mark, scratch = f"{os.getpid()}-{random.random()}", self.folder / f"tmp-{time.time_ns()}"
        scratch.mkdir(parents=True)
        environment = {**os.environ, "ENGINEBENCH_HOME": str(self.home), "HF_HUB_OFFLINE": "1"}
        environment |= {"TMPDIR": str(scratch), _MARK: mark, **self.variables}
        environment["PYTHONPATH"] = str(Path(__file__).parents[2])
        command = [sys.executable, "-c", PROGRAM, *map(str, words)]
        if redirect:
            command = ["bash", "-c", f'"$@" {redirect}; exit ${{PIPESTATUS[0]}}', "bash", *command]
        began_s = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
            preexec_fn=lambda: _limit(limits),
        )
        watch = _Watch(process, kill, limit_s)
        code, peak_bytes = watch.until_end()
        seconds = time.monotonic() - began_s
        out, err = watch.said()
        strays = _strays(mark)
        left = tuple(sorted(path.name for path in scratch.iterdir()))
        return Ended(code, seconds, peak_bytes, out, err, strays, left)


def _limit(limits: Sequence[tuple[int, int]]) -> None:
    for each, most in limits:
        resource.setrlimit(each, (most, most))


class _Watch:
    """A process from its start to its end, with the signals on their way."""

    def __init__(self, process: subprocess.Popen[str], kill: Kill | None, limit_s: float) -> None:
        self._process, self._limit_s = process, limit_s
        self._pending = list(kill.signals) if kill else []
        self._target = kill.target if kill else None
        self._began_s = time.monotonic()
        self._said = ["", ""]
        streams = (process.stdout, process.stderr)
        self._readers = [
            threading.Thread(target=self._read, args=(n, stream), daemon=True)
            for n, stream in enumerate(streams)
        ]
        for reader in self._readers:
            reader.start()

    def until_end(self) -> tuple[int | None, int]:
        """Its exit code, None for one that had to be ended, and the most memory it had."""
        peak_bytes = 0
        while self._process.poll() is None:
            age_s = time.monotonic() - self._began_s
            family = _family(self._process.pid)
            peak_bytes = max(peak_bytes, sum(map(_resident, family)))
            if self._pending and age_s >= self._pending[0][0]:
                self._send(self._pending[0][1], family)
            if age_s > self._limit_s:
                for each in family:
                    with contextlib.suppress(psutil.Error):
                        each.kill()
                self._process.wait()
                return None, peak_bytes
            time.sleep(_POLL_S)
        return self._process.returncode, peak_bytes

    def said(self) -> tuple[str, str]:
        """Standard output and error."""
        for reader in self._readers:
            reader.join(_STRAY_S)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
        return self._said[0], self._said[1]

    def _send(self, number: signal.Signals, family: list[psutil.Process]) -> None:
        """To the command, or to the target once that is there."""
        chosen = family[:1]
        if self._target is not None:
            chosen = [each for each in family if self._target in _command_line(each)][:1]
        for each in chosen:
            self._pending.pop(0)
            with contextlib.suppress(psutil.Error):
                each.send_signal(number)

    def _read(self, number: int, stream: object) -> None:
        assert hasattr(stream, "read")
        self._said[number] = stream.read()


def _family(pid: int) -> list[psutil.Process]:
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.Error:
        return []


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0


def _command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _strays(mark: str) -> tuple[str, ...]:
    """The processes that still bear the mark when they have had time to notice; they are ended."""
    deadline_s = time.monotonic() + _STRAY_S
    while (found := _marked(mark)) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    told = tuple(_command_line(each)[:200] for each in found)  # an ended one has none
    for each in found:
        with contextlib.suppress(psutil.Error):
            each.kill()
    return told


def _marked(mark: str) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            alive = process.status() != psutil.STATUS_ZOMBIE
            if alive and process.environ().get(_MARK) == mark:
                found.append(process)
    return found
