"""A process of ours: what it is told and tells, how its end is told, and that it does end."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from runtime import process
from runtime.process import Child, Hangup, Inbox, Line
from tests.runtime.chatter import Say

ROOT = Path(__file__).parents[2]
Start = Callable[..., Child]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a child; each has ended when the test has."""
    started: list[Child] = []

    def start(what: str, **options: object) -> Child:
        child = Child("the chatter", "tests.runtime.chatter", what, **options)  # type: ignore[arg-type]
        started.append(child)
        return child

    yield start
    for child in started:
        child.end(0.0)
    assert psutil.Process().children() == []


def test_messages_cross_whole_in_order_and_typed(start: Start) -> None:
    line = start("echo").line
    messages = [Say("small"), Say("large", bytes(5_000_000)), Say("last")]
    sender = threading.Thread(target=lambda: list(map(line.send, messages)))
    sender.start()
    assert [line.receive(10.0) for _ in messages] == messages


def test_waiting_for_a_message_has_a_limit(start: Start) -> None:
    line = start("echo").line
    started_s = time.monotonic()
    assert line.receive(0.2) is None
    assert 0.2 <= time.monotonic() - started_s < 5.0


def test_many_threads_may_send(start: Start) -> None:
    line = start("echo").line
    messages = [Say(f"{number:03}", bytes(20_000)) for number in range(200)]
    for message in messages:
        threading.Thread(target=line.send, args=(message,)).start()
    heard = [line.receive(10.0) for _ in messages]
    assert sorted(heard, key=str) == messages


@pytest.mark.parametrize("read", [lambda line: line, Inbox])
def test_half_a_message_is_none(start: Start, read: Callable[..., Inbox]) -> None:
    child = start("half")
    inbox = read(child.line)
    assert inbox.receive(10.0) == Say("whole")
    for _ in range(2):
        with pytest.raises(Hangup):
            inbox.receive(10.0)
    assert child.obituary() == "the chatter was ended by SIGKILL (out of memory?)"


def test_a_process_that_stops_within_a_message_keeps_nobody_waiting(start: Start) -> None:
    line = start("stammer").line
    for _ in range(2):
        assert line.receive(0.5) is None
        line.send(Say("go on"))
    assert line.receive(10.0) == Say("stammered", bytes(1000))


def test_an_inbox_waits_no_longer_than_it_should(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_CATCH_UP_S", 0.1)
    inbox = Inbox(start("echo").line)
    started_s = time.monotonic()
    assert inbox.receive(0.2) is None
    assert 0.3 <= time.monotonic() - started_s < 5.0


_INTERRUPTED = """
import os, signal, threading
from runtime.process import Child, Inbox
from tests.runtime.chatter import Say

child = Child("the chatter", "tests.runtime.chatter", "echo")
inbox = Inbox(child.line)
threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    inbox.receive(10.0)
except KeyboardInterrupt:
    child.line.send(Say("still here"))
    print(inbox.receive(10.0))
child.end(0.0)
"""


def test_ctrl_c_while_an_inbox_waits_loses_no_message() -> None:
    """In a process of its own, which the signal ends where it is not as it should be."""
    command = [sys.executable, "-c", _INTERRUPTED]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{Say('still here')}\n", done.stderr


def test_an_end_is_told_with_its_code_and_the_last_words(start: Start) -> None:
    child = start("end")
    with pytest.raises(Hangup):
        child.line.receive(10.0)
    told = "the chatter ended with exit code 7; its last words: the end is near"
    assert child.obituary() == told
    assert child.wait(0.0) == 7


def test_the_words_of_a_log_that_we_keep(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    child = start("end", log=log)
    assert child.obituary().endswith("; its last words: the end is near")
    child.end(1.0)
    assert log.read_text().count("blah") == 10_000


def test_a_realtime_signal_has_a_number(start: Start) -> None:
    child = start("echo")
    os.kill(child.pid, signal.SIGRTMIN + 3)
    assert child.obituary() == f"the chatter was ended by signal {signal.SIGRTMIN + 3}"


def test_a_process_that_hangs_up_and_goes_on_is_told_and_ended(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_LAST_MOMENT_S", 0.2)
    child = start("hang_up")
    with pytest.raises(Hangup):
        child.line.receive(10.0)
    assert child.obituary() == "the chatter hung up and went on running"
    monkeypatch.undo()
    child.end(0.1)
    assert child.wait(0.0) == -signal.SIGKILL


def test_nobody_to_hear_is_a_hangup_or_nothing(start: Start) -> None:
    child = start("end")
    assert child.wait(10.0) == 7
    with pytest.raises(Hangup):
        child.line.send(Say("hello?"))
    child.line.tell(Say("hello?"))


def test_a_child_sees_us_hang_up_even_while_a_thread_reads(start: Start, tmp_path: Path) -> None:
    log = tmp_path / "log"
    child = start("echo", log=log)
    child.line.send(Say("hello"))
    inbox = Inbox(child.line)
    assert inbox.receive(10.0) == Say("hello")
    child.end(10.0)
    assert child.wait(0.0) == 0
    assert log.read_text() == "they hung up\n"
    with pytest.raises(Hangup):
        inbox.receive(10.0)


def test_a_line_keeps_its_descriptor_while_somebody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the reader would go on with the next file that gets the same number."""
    ours, theirs = socket.socketpair()
    line = Line(ours.detach())
    reading, go_on = threading.Event(), threading.Event()

    class BetweenHeadAndMessage:
        """The socket of a line; whoever reads from it is not done soon."""

        shutdown, close = line._socket.shutdown, line._socket.close

        def recv_into(self, *_: object) -> int:
            reading.set()
            assert go_on.wait(30)
            return 0

    def read() -> None:
        with pytest.raises(Hangup):
            line.receive()

    kept = line._socket
    monkeypatch.setattr(line, "_socket", BetweenHeadAndMessage())
    reader = threading.Thread(target=read)
    reader.start()
    assert reading.wait(30)
    closer = threading.Thread(target=line.close)
    closer.start()
    assert theirs.recv(1) == b""  # hung up at once
    assert kept.fileno() != -1
    go_on.set()
    reader.join(30)
    closer.join(30)
    assert kept.fileno() == -1
    theirs.close()


def test_ending_twice_is_ending_once(start: Start) -> None:
    child = start("echo")
    child.end(10.0)
    child.end(10.0)
    with pytest.raises(Hangup):
        child.line.send(Say("hello?"))
    with pytest.raises(Hangup):
        child.line.receive(0.0)


def test_what_it_started_is_ended_with_its_group(start: Start) -> None:
    child = start("deaf", own_group=True)
    grandchild = child.line.receive(10.0)
    assert isinstance(grandchild, int)
    process_of = psutil.Process(grandchild)
    child.end(0.1)
    assert child.wait(0.0) == -signal.SIGKILL
    process_of.wait(10.0)


def test_ctrl_c_does_not_keep_a_process_from_being_ended(start: Start) -> None:
    child = start("deaf", own_group=True)
    assert child.line.receive(10.0)
    before = signal.getsignal(signal.SIGINT)
    timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    child.end(1.0)
    timer.join()
    assert child.wait(0.0) == -signal.SIGKILL
    assert signal.getsignal(signal.SIGINT) is before


def test_it_works_where_it_is_told_to_and_finds_our_code(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((".", "lib")))
    here = Path.cwd()
    told = start("where", folder=tmp_path, own_group=True).line.receive(10.0)
    assert isinstance(told, tuple)
    folder, pythonpath, group = told
    assert (folder, pythonpath) == (str(tmp_path), f"{here}{os.pathsep}{here / 'lib'}")
    assert group != os.getpgid(0)
    told = start("where").line.receive(10.0)
    assert isinstance(told, tuple)
    assert told[2] == os.getpgid(0)


def test_a_program_that_cannot_be_started_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = psutil.Process().num_fds()
    with pytest.raises(FileNotFoundError):
        Child("the chatter", "tests.runtime.chatter", folder=tmp_path / "not here")
    with pytest.raises(IsADirectoryError):
        Child("the chatter", "tests.runtime.chatter", log=tmp_path)
    assert psutil.Process().num_fds() == before
