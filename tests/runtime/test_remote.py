"""An executor over another process: what it hands on, and each way its engine comes to an end."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from build_engine.errors import EngineDied
from runtime import remote
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
