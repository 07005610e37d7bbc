"""A child for the tests of `runtime.process`: `python -m tests.runtime.chatter WHAT`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from runtime.process import Hangup, Line, framed


@dataclass(frozen=True, slots=True)
class Say:
    """A message."""

    text: str
    payload: bytes = b""


def _echo(line: Line) -> None:
    """Say everything back, until nobody is there."""
    try:
        while True:
            line.send(line.receive())
    except Hangup:
        _write("they hung up\n")


def _half(line: Line) -> None:
    """Be killed within a message, after a whole one."""
    line.send(Say("whole"))
    os.write(int(sys.argv[-1]), framed(Say("half", bytes(1000)))[:500])
    os.kill(os.getpid(), signal.SIGKILL)


def _stammer(line: Line) -> None:
    """Stop within a message, twice, until something is heard."""
    frame = framed(Say("stammered", bytes(1000)))
    for start, end in ((0, 3), (3, 500), (500, None)):
        os.write(int(sys.argv[-1]), frame[start:end])
        line.receive()


def _deaf(line: Line) -> None:
    """Neither hear nor end, with a child of the same mind; tell its id."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    line.send(subprocess.Popen(command).pid)
    time.sleep(600.0)


def _hang_up(line: Line) -> None:
    line.close()
    time.sleep(600.0)


def _end(line: Line) -> None:
    """Say much, then end badly."""
    _write("blah " * 10_000 + "\nthe end is near\n\n")
    sys.exit(7)


def _where(line: Line) -> None:
    line.send((str(Path.cwd()), os.environ.get("PYTHONPATH"), os.getpgid(0)))


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


if __name__ == "__main__":
    import importlib

    chatter = importlib.import_module("tests.runtime.chatter")  # not __main__: messages have a name
    getattr(chatter, f"_{sys.argv[1]}")(Line.to_parent())
