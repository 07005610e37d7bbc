"""When a test counts as stalled: by the time in which somebody looked."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from harness.loadgen.control import LoadgenTest
from harness.loadgen.messages import StartTest
from runtime.awake import AwakeClock
from tests.harness.rehearsal import make_plan


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_stop_of_the_process_is_no_stall_of_its_engine(tmp_path: Path) -> None:
    clock = Clock()
    sut: Any = SimpleNamespace(num_open=3, last_sign_s=1.0)
    test = LoadgenTest(StartTest(make_plan(), tmp_path), sut, 1, 60.0)
    test._clock = AwakeClock(clock)
    assert test._stalled() is None
    clock.now_s += 5000.0
    assert test._stalled() is None
    for _ in range(54):
        clock.now_s += 1.0
        assert test._stalled() is None
    sut.last_sign_s = 2.0
    assert test._stalled() is None
    for _ in range(60):
        clock.now_s += 1.0
        assert test._stalled() is None
    clock.now_s += 1.0
    assert test._stalled() == "the engine gave no token for 61 s while 3 queries were open"
    sut.num_open = 0
    assert test._stalled() is None
