"""An executor over another process: what it hands on, and each way its engine comes to an end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from build_engine.errors import EngineDied, EnvironmentFault
from runtime import remote, signs
from runtime.executor import Request
from tests.toy.executor import ToyExecutor
from tests.toy.install import write_toy
from tests.toy.spec import ToySpec


def request(number: int) -> Request:
    return Request(number, np.arange(4, dtype=np.int32), 8)


def toy(tmp_path: Path, fault: Any = None) -> ToyExecutor:
    return ToyExecutor(ToySpec(folder=write_toy(tmp_path / "engine", [5]), fault=fault))


def children() -> list[psutil.Process]:
    return psutil.Process().children()


@pytest.mark.parametrize("first", ["submit", "poll"])
def test_the_cause_of_death_and_the_last_chunks_are_kept_whoever_notices_first(
    tmp_path: Path, first: str
) -> None:
    executor = toy(tmp_path, "dies")
    executor.submit([request(7)])
    os.waitid(os.P_PID, executor.pid, os.WEXITED | os.WNOWAIT)
    cause = r"^the engine died: no more key/value cache$"
    if first == "submit":
        with pytest.raises(EngineDied, match=cause):
            executor.submit([request(1)])
    assert [(chunk.id, chunk.finished) for chunk in executor.poll(1.0)] == [(7, True)]
    assert executor.stats().active == 1
    for _ in range(2):
        with pytest.raises(EngineDied, match=cause):
            executor.poll(0.0)
    executor.close()


def test_a_crash_is_told_with_the_signal_and_the_last_words(tmp_path: Path) -> None:
    executor = toy(tmp_path, "crashes")
    executor.submit([request(1)])
    for _ in range(2):
        with pytest.raises(EngineDied) as caught:
            executor.poll(10.0)
        assert str(caught.value) == (
            "the engine died: its process was ended by SIGSEGV; its last words: "
            "Segmentation fault (core toyed)"
        )
    executor.close()


def test_an_engine_that_refuses_to_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(EngineDied, match=r"^the engine died: it is broken$"):
        toy(tmp_path, "refuses")
    assert children() == []


def test_an_engine_that_hangs_when_it_starts_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_START_LIMIT_S", 1.0)
    monkeypatch.setattr(remote, "_CLOSE_GRACE_S", 0.1)
    started_s = time.monotonic()
    with pytest.raises(EngineDied, match=r"^the engine died: it was not ready within 1 s$"):
        toy(tmp_path, "hangs")
    assert time.monotonic() - started_s < 10.0
    assert children() == []


def test_ctrl_c_while_an_engine_starts_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(remote.RemoteExecutor, "_await_ready", interrupt)
    with pytest.raises(KeyboardInterrupt):
        toy(tmp_path)
    assert children() == []


def test_closing_twice_is_closing_once(tmp_path: Path) -> None:
    executor = toy(tmp_path)
    executor.close()
    executor.close()
    assert children() == []
    for use in (lambda: executor.poll(0.0), lambda: executor.submit([request(1)])):
        with pytest.raises(EngineDied, match="closed"):
            use()


def test_an_engine_that_cannot_stop_a_request_answers_it(tmp_path: Path) -> None:
    executor = toy(tmp_path)
    executor.cancel([7])
    executor.submit([request(7)])
    executor.cancel([7, 8])
    executor.submit([request(8)])
    finished: list[int] = []
    while len(finished) < 2:
        finished += [chunk.id for chunk in executor.poll(10.0) if chunk.finished]
    assert finished == [7, 8]
    executor.close()
    executor.cancel([9])


def test_what_the_machine_lacks_is_told_as_that_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r"^`toys` is not installed; install it with: pip"):
        toy(tmp_path, "lacks")
    assert children() == []


def until_dead(executor: ToyExecutor) -> str:
    """What it is told to have died of, twice."""
    deadline_s = time.monotonic() + 30.0
    with pytest.raises(EngineDied) as caught:
        while time.monotonic() < deadline_s:
            assert executor.poll(0.05) == []
    with pytest.raises(EngineDied) as again:
        executor.poll(0.0)
    assert str(again.value) == str(caught.value)
    return str(caught.value)


def test_an_engine_that_hangs_has_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signs, "MOST_S", 0.5)
    executor = toy(tmp_path)
    os.kill(executor.pid, signal.SIGSTOP)
    time.sleep(0.6)
    assert executor.poll(0.0) == []  # nothing is asked of it
    executor.submit([request(1), request(2)])
    assert until_dead(executor) == (
        "the engine died: it gave no sign for 0.5 s, with 2 requests open"
    )
    with pytest.raises(EngineDied, match="gave no sign"):
        executor.submit([request(3)])
    executor.close()
    assert children() == []


def test_whoever_hands_requests_to_an_engine_that_hangs_does_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "MOST_S", 0.5)
    monkeypatch.setattr(remote, "_CLOSE_GRACE_S", 0.1)
    executor = toy(tmp_path)
    os.kill(executor.pid, signal.SIGSTOP)
    big = Request(1, np.zeros(2**20, np.int32), 8)  # no pipe holds it
    submitting = threading.Thread(target=executor.submit, args=([big],))
    submitting.start()
    submitting.join(30.0)
    assert not submitting.is_alive()
    executor.cancel([1])
    cause = until_dead(executor)
    with pytest.raises(EngineDied) as caught:
        executor.submit([request(2)])
    assert str(caught.value) == cause
    executor.close()
    assert children() == []


def test_requests_that_wait_for_an_engine_come_to_it_in_order(tmp_path: Path) -> None:
    executor = toy(tmp_path)
    os.kill(executor.pid, signal.SIGSTOP)
    for number in range(8):
        executor.submit([Request(number, np.zeros(2**16, np.int32), 8)])
    os.kill(executor.pid, signal.SIGCONT)
    answered: list[int] = []
    while len(answered) < 8:
        answered += [chunk.id for chunk in executor.poll(10.0)]
    assert answered == list(range(8))
    executor.close()


def test_what_a_dead_engine_said_waits_for_no_reader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of our standard error: a terminal that is stopped, a pipe that is full."""
    monkeypatch.setattr(remote, "_KEEPING_S", 0.1)
    go_on, kept = threading.Event(), list[str]()

    class Unread:
        def write(self, text: str) -> None:
            assert go_on.wait(30.0)
            kept.append(text)

    executor = toy(tmp_path, "crashes")
    executor.submit([request(1)])
    monkeypatch.setattr(sys, "stderr", Unread())
    with pytest.raises(EngineDied, match="ended by SIGSEGV"):
        executor.poll(10.0)
    assert kept == []
    go_on.set()
    deadline_s = time.monotonic() + 30.0
    while not kept and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert kept == ["Segmentation fault (core toyed)\n"]
    executor.close()


_STOPPED = """
import os, signal, sys, time
from pathlib import Path
from runtime import awake, signs
from tests.runtime.test_remote import request
from tests.toy.executor import ToyExecutor
from tests.toy.spec import ToySpec
signs.MOST_S, awake.MOST_STEP_S = 2.0, 0.5
executor = ToyExecutor(ToySpec(folder=Path(sys.argv[1])))
os.kill(executor.pid, signal.SIGSTOP)
executor.submit([request(1)])
print(executor.pid, flush=True)
while not (chunks := executor.poll(0.1)):
    pass
print(chunks[0].finished, flush=True)
executor.close()
"""


def test_a_stop_of_the_whole_program_is_no_silence_of_its_engine(tmp_path: Path) -> None:
    """Ctrl-Z, and `fg` much later: we are awake a moment sooner than the engine."""
    words = [sys.executable, "-c", _STOPPED, str(write_toy(tmp_path / "engine", [5]))]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        engine = int(process.stdout.readline())
        process.send_signal(signal.SIGSTOP)
        time.sleep(3.0)
        process.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        os.kill(engine, signal.SIGCONT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "True\n", "")
