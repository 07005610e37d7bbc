"""What is said to a process that does not listen: it waits, and whoever says it does not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from runtime.outbox import Outbox
from runtime.process import Hangup, Line

MESSAGES = [(number, bytes(number * 997 % 40_000)) for number in range(300)]  # 6 MB


@pytest.fixture
def lines() -> Iterator[tuple[Line, Line]]:
    """Both ends of a line with little room."""
    ends = socket.socketpair()
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    ours, theirs = (Line(end.detach()) for end in ends)
    yield ours, theirs
    ours.close()
    theirs.close()


def catching_up() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "outbox"]


def test_what_nobody_listens_to_is_said_later_whole_and_in_order(lines: tuple[Line, Line]) -> None:
    ours, theirs = lines
    outbox = Outbox(ours)
    for message in MESSAGES:
        outbox.send(message)  # a wait would have no end: nobody listens yet
    assert len(catching_up()) == 1
    assert [theirs.receive(10.0) for _ in MESSAGES] == MESSAGES
    for thread in catching_up():
        thread.join(10.0)
    outbox.send("now")
    assert catching_up() == []
    assert theirs.receive(10.0) == "now"


def test_many_threads_may_say_something(lines: tuple[Line, Line]) -> None:
    ours, theirs = lines
    outbox = Outbox(ours)

    def say(start: int) -> None:
        for message in MESSAGES[start::10]:
            outbox.send(message)

    threads = [threading.Thread(target=say, args=(start,)) for start in range(10)]
    for thread in threads:
        thread.start()
    heard = [theirs.receive(10.0) for _ in MESSAGES]
    assert sorted(heard, key=str) == sorted(MESSAGES, key=str)
    for start in range(10):  # what one of them says keeps its order
        assert [each for each in heard if each in MESSAGES[start::10]] == MESSAGES[start::10]


@pytest.mark.parametrize("who", ["we", "they"])
def test_the_end_of_the_line_ends_what_waits(lines: tuple[Line, Line], who: str) -> None:
    ours, theirs = lines
    outbox = Outbox(ours)
    for message in MESSAGES:
        outbox.send(message)
    (ours if who == "we" else theirs).close()
    for thread in catching_up():
        thread.join(10.0)
    assert catching_up() == []
    with pytest.raises(Hangup):
        outbox.send("hello?")
    outbox.tell("hello?")
    started_s = time.monotonic()
    with pytest.raises(Hangup):
        ours.receive(10.0)
    assert time.monotonic() - started_s < 5.0


def test_where_there_can_be_no_thread_the_line_is_closed(
    lines: tuple[Line, Line], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    ours, theirs = lines
    outbox = Outbox(ours)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(Hangup):
        for message in MESSAGES:
            outbox.send(message)
    with pytest.raises(Hangup):
        while True:
            theirs.receive(10.0)
