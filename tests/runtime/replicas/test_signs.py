"""When an engine that lives counts as hung, by what it showed of its own pace."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.executor import Chunk, ExecutorStats
from runtime.replicas.signs import LEAST_S, MOST_S, Signs

IDLE = ExecutorStats(active=0, queued=0)
TOKEN = [Chunk(1, np.array([7], np.int32), False)]
LAST = [Chunk(1, np.array([7], np.int32), True)]


def stats(iteration_s: float) -> ExecutorStats:
    return ExecutorStats(active=1, queued=0, iteration_s=iteration_s)


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def signs(clock: Clock) -> Signs:
    """Of an engine that has been idle for long, with one request."""
    signs = Signs(clock)
    assert signs.missed([], IDLE) is None
    clock.now_s += 10 * MOST_S
    assert signs.missed([], IDLE) is None
    signs.given(1)
    return signs


def test_the_first_iteration_may_take_long(signs: Signs, clock: Clock) -> None:
    clock.now_s += MOST_S - 1
    assert signs.missed([], IDLE) is None
    clock.now_s += 2
    told = signs.missed([], IDLE)
    assert told == "its engine gave no sign for 600 s, with 1 request open there"


def test_after_quick_ones_a_minute_is_the_end(signs: Signs, clock: Clock) -> None:
    clock.now_s += 0.1
    assert signs.missed(TOKEN, stats(0.1)) is None
    signs.given(1)
    clock.now_s += LEAST_S - 1
    assert signs.missed([], stats(0.1)) is None
    clock.now_s += 2
    told = signs.missed([], stats(0.1))
    assert told == "its engine gave no sign for 60 s, with 2 requests open there"


def test_a_slow_engine_has_the_more_time_the_slower_it_is(signs: Signs, clock: Clock) -> None:
    clock.now_s += 20.0
    assert signs.missed([], stats(20.0)) is None  # an iteration over a part of a prompt
    clock.now_s += 390.0
    assert signs.missed([], stats(20.0)) is None
    clock.now_s += 20.0
    assert signs.missed([], stats(20.0)) is not None


def test_nobody_has_more_time_than_the_most(signs: Signs, clock: Clock) -> None:
    clock.now_s += 100.0
    assert signs.missed(TOKEN, stats(100.0)) is None
    clock.now_s += MOST_S + 1
    assert signs.missed([], stats(100.0)) is not None


def test_an_engine_without_a_request_owes_no_sign(signs: Signs, clock: Clock) -> None:
    clock.now_s += 1.0
    assert signs.missed(LAST, IDLE) is None
    clock.now_s += 10 * MOST_S
    assert signs.missed([], IDLE) is None


def test_a_request_that_was_refused_is_no_iteration(signs: Signs, clock: Clock) -> None:
    signs.given(1)
    clock.now_s += 0.1
    refused = [Chunk(1, np.array([], np.int32), True, error="it is too long")]
    assert signs.missed(refused, IDLE) is None
    clock.now_s += MOST_S - 1
    assert signs.missed([], IDLE) is None


def test_an_engine_that_tells_of_no_iterations_has_the_longest_time(
    signs: Signs, clock: Clock
) -> None:
    clock.now_s += 1.0
    busy = ExecutorStats(active=1, queued=0)
    assert signs.missed(TOKEN, busy) is None
    clock.now_s += MOST_S - 1
    assert signs.missed([], busy) is None
    clock.now_s += 2
    assert signs.missed([], busy) is not None
