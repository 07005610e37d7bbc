"""When whoever found no room is asked to come again."""

from __future__ import annotations

from runtime.server.turnover import Turnover


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_nothing_is_known_at_first() -> None:
    assert Turnover().wait_s() == 1


def test_the_pace_is_that_of_the_ends_while_there_was_work() -> None:
    turnover = Turnover(clock := Clock())
    for _ in range(300):
        turnover.opened()
    for _ in range(100):
        clock.now_s += 4.0
        turnover.ended()
    assert turnover.wait_s() == 4
    clock.now_s += 3600.0  # work is open, and none of it ends
    assert turnover.wait_s() == 30


def test_what_was_given_up_says_nothing_of_the_pace() -> None:
    turnover = Turnover(clock := Clock())
    for _ in range(20):
        turnover.opened()
    for number in range(20):
        clock.now_s += 4.0 if number % 2 else 0.0
        turnover.ended(answered=bool(number % 2))
    assert turnover.wait_s() == 4


def test_an_idle_hour_does_not_count() -> None:
    turnover = Turnover(clock := Clock())
    for _ in range(5):
        turnover.opened()
        clock.now_s += 2.0
        turnover.ended()
        clock.now_s += 3600.0
    assert turnover.wait_s() == 2
    for _ in range(300):
        turnover.opened()
    clock.now_s += 1.0
    assert turnover.wait_s() == 2
