"""When an engine that lives counts as hung, by what it showed of its own pace."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from runtime.executor import Chunk, ExecutorStats, ReplicaLoad, Request
from runtime.signs import LEAST_S, MOST_S, Signs

IDLE = ExecutorStats(active=0, queued=0)
TOKEN = [Chunk(1, np.array([7], np.int32), False)]
LAST = [Chunk(1, np.array([7], np.int32), True)]


def stats(iteration_s: float) -> ExecutorStats:
    return ExecutorStats(active=1, queued=0, iteration_s=iteration_s)


def figures(prompt: int | None, tokens: int | None = 0, kv: int | None = None) -> ExecutorStats:
    return ExecutorStats(
        1, 0, iteration_s=0.1, prompt_tokens=prompt, tokens=tokens, kv_blocks_used=kv
    )


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


def iterates(
    signs: Signs, clock: Clock, seconds: float, *told: ExecutorStats, each_s: float = 0.5
) -> str | None:
    """The first verdict while the engine tells these figures, in turn, for so long."""
    for number in range(round(seconds / each_s)):
        clock.now_s += each_s
        signs.heard([], told[number % len(told)])
        if (missed := signs.missed()) is not None:
            return missed
    return None


NOTHING = (
    "its iterations brought nothing for {} s, neither a token nor a part of a prompt, with {} open"
)


def test_iterations_that_bring_nothing_are_no_work(signs: Signs, clock: Clock) -> None:
    clock.now_s += 0.1
    signs.heard(TOKEN, figures(4, 1))
    signs.given([request(2)])  # whoever asks more moves nothing
    assert iterates(signs, clock, LEAST_S, figures(4, 1)) is None
    assert iterates(signs, clock, 1.0, figures(4, 1)) == NOTHING.format(60, "2 requests")


def test_an_engine_that_has_made_nothing_yet_may_try_for_long(signs: Signs, clock: Clock) -> None:
    signs.heard([], figures(None))
    assert iterates(signs, clock, 1.0, figures(0)) is None
    assert iterates(signs, clock, 2 * LEAST_S, figures(0)) == NOTHING.format(60, "1 request")


def test_what_took_long_before_may_take_longer(signs: Signs, clock: Clock) -> None:
    """Iterations of which one in many brings a token."""
    assert iterates(signs, clock, 10.5, figures(4)) is None
    signs.heard(TOKEN, figures(4, 1))
    assert iterates(signs, clock, 199.0, figures(4, 1)) is None
    assert iterates(signs, clock, 2.0, figures(4, 1)) == NOTHING.format(200, "1 request")


@pytest.mark.parametrize("slow_s", [0.5, 50.0, 550.0])
@pytest.mark.parametrize("what", ["prompt", "tokens", "cache"])
def test_a_slow_engine_comes_on(signs: Signs, clock: Clock, slow_s: float, what: str) -> None:
    """Prompts in parts; whole answers, of which tokens are only counted; a prompt of which only
    the cache tells.
    """
    for number in range(2000):
        told = {
            "prompt": figures(number),
            "tokens": figures(4, number),
            "cache": figures(4, 0, number),
        }
        assert iterates(signs, clock, slow_s, told[what], each_s=slow_s) is None


@pytest.mark.parametrize(
    "told",
    [
        figures(None, None),
        figures(None, 7),  # prompts are not counted: one may be read in parts
        figures(4, None),  # nor the tokens of whole answers
        ExecutorStats(1, 0, prompt_tokens=4, tokens=0),  # no iterations
        replace(figures(4, 0), replicas=(ReplicaLoad(1, "here", "core 0", 0, 0, 0, 0.0, None),)),
    ],
)
def test_figures_that_cannot_show_it_say_nothing(
    signs: Signs, clock: Clock, told: ExecutorStats
) -> None:
    signs.heard(TOKEN, told)
    assert iterates(signs, clock, 3 * MOST_S, told) is None


def test_who_gives_up_does_not_make_a_hung_engine_look_alive(signs: Signs, clock: Clock) -> None:
    signs.heard(TOKEN, figures(4, 1))
    number, verdict = 1, None
    while verdict is None and number < 100:
        number += 1
        signs.given([request(number)])
        verdict = iterates(signs, clock, 2.0, figures(4, 1))
        signs.given_up([number, 1000 + number])
        given_up = Chunk(number, np.array([], np.int32), True, error="it was given up")
        signs.heard([given_up], figures(4, 1))
    assert verdict == NOTHING.format(60, "2 requests")


def test_requests_that_are_refused_one_after_the_other_are_dealt_with(
    signs: Signs, clock: Clock
) -> None:
    signs.heard(TOKEN, figures(4, 1))
    for number in range(2, 200):
        signs.given([request(number)])
        assert iterates(signs, clock, 1.0, figures(4, 1)) is None
        refused = Chunk(number, np.array([], np.int32), True, error="no cache")
        signs.heard([refused], figures(4, 1))


def test_time_without_a_request_is_no_time_without_work(signs: Signs, clock: Clock) -> None:
    clock.now_s += 1.0
    signs.heard(LAST, figures(4, 1))
    clock.now_s += 10 * MOST_S
    signs.given([request(2)])
    assert iterates(signs, clock, LEAST_S - 1, figures(4, 1)) is None


def test_a_long_iteration_is_silence_and_no_idle_work(signs: Signs, clock: Clock) -> None:
    clock.now_s += 1.0
    signs.heard(TOKEN, figures(4, 1))
    signs.given([request(2, 4000)])
    clock.now_s += LEAST_S + 1  # over a prompt as long as none before
    assert signs.missed() is None
    signs.heard([], figures(4004, 1))
    assert signs.missed() is None
