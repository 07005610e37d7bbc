"""When an engine that lives counts as hung, by what it showed of its own pace."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.executor import Chunk, ExecutorStats, Request
from runtime.signs import LEAST_S, MOST_S, Signs

IDLE = ExecutorStats(active=0, queued=0)
TOKEN = [Chunk(1, np.array([7], np.int32), False)]
LAST = [Chunk(1, np.array([7], np.int32), True)]


def stats(iteration_s: float) -> ExecutorStats:
    return ExecutorStats(active=1, queued=0, iteration_s=iteration_s)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def request(number: int, length: int = 4) -> Request:
    return Request(number, np.arange(length, dtype=np.int32), 8)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signs(clock: Clock) -> Signs:
    """Of an engine that has been idle for long, with one request."""
    signs = Signs(clock=clock)
    signs.heard([], IDLE)
    clock.now_s += 10 * MOST_S
    assert signs.missed() is None
    signs.given([request(1)])
    return signs


def test_the_first_iteration_may_take_long(signs: Signs, clock: Clock) -> None:
    clock.now_s += MOST_S - 1
    assert signs.missed() is None
    clock.now_s += 2
    assert signs.missed() == "it gave no sign for 600 s, with 1 request open"


def test_after_quick_ones_a_minute_is_the_end(signs: Signs, clock: Clock) -> None:
    clock.now_s += 0.1
    signs.heard(TOKEN, stats(0.1))
    signs.given([request(2)])
    clock.now_s += LEAST_S - 1
    assert signs.missed() is None
    clock.now_s += 2
    assert signs.missed() == "it gave no sign for 60 s, with 2 requests open"


def test_a_slow_engine_has_the_more_time_the_slower_it_is(signs: Signs, clock: Clock) -> None:
    clock.now_s += 20.0
    signs.heard([], stats(20.0))  # an iteration over a part of a prompt
    clock.now_s += 390.0
    assert signs.missed() is None
    clock.now_s += 20.0
    assert signs.missed() is not None


def test_more_prompts_than_ever_before_may_take_the_longer(signs: Signs, clock: Clock) -> None:
    clock.now_s += 1.0
    signs.heard(TOKEN, stats(1.0))
    signs.given([request(2, 96)])
    clock.now_s += 1.0
    signs.heard(TOKEN, stats(1.0))  # this iteration began before it came
    clock.now_s += 499.0  # of 25 times as many tokens
    assert signs.missed() is None
    clock.now_s += 2.0
    assert signs.missed() is not None
    signs.heard(TOKEN, stats(501.0))
    clock.now_s += MOST_S + 1  # its pace is known to be slow
    assert signs.missed() is not None


def test_as_many_prompts_as_before_take_no_longer(signs: Signs, clock: Clock) -> None:
    signs.given([request(2, 96)])
    clock.now_s += 1.0
    signs.heard(TOKEN, stats(1.0))
    clock.now_s += 1.0
    signs.heard([Chunk(2, np.array([7], np.int32), True)], stats(1.0))
    signs.given([request(3, 96)])
    clock.now_s += LEAST_S + 1
    assert signs.missed() is not None


def test_nobody_has_more_time_than_the_most(signs: Signs, clock: Clock) -> None:
    clock.now_s += 100.0
    signs.heard(TOKEN, stats(100.0))
    clock.now_s += MOST_S + 1
    assert signs.missed() is not None


def test_an_engine_without_a_request_owes_no_sign(signs: Signs, clock: Clock) -> None:
    clock.now_s += 1.0
    signs.heard(LAST, IDLE)
    clock.now_s += 10 * MOST_S
    assert signs.missed() is None


def test_a_request_that_was_refused_is_no_iteration(signs: Signs, clock: Clock) -> None:
    signs.given([request(2)])
    clock.now_s += 0.1
    signs.heard([Chunk(1, np.array([], np.int32), True, error="it is too long")], IDLE)
    clock.now_s += MOST_S - 1
    assert signs.missed() is None


def test_an_engine_that_tells_of_no_iterations_has_the_longest_time(
    signs: Signs, clock: Clock
) -> None:
    clock.now_s += 1.0
    signs.heard(TOKEN, ExecutorStats(active=1, queued=0))
    clock.now_s += MOST_S - 1
    assert signs.missed() is None
    clock.now_s += 2
    assert signs.missed() is not None


def test_an_engine_may_have_a_time_of_its_own(clock: Clock) -> None:
    signs = Signs(0.5, clock)
    signs.given([request(1), request(2)])
    clock.now_s += 0.6
    assert signs.missed() == "it gave no sign for 0.5 s, with 2 requests open"
