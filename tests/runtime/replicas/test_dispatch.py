"""Who answers what: every replica is used fully, whatever its speed, and none idles at the end."""

from __future__ import annotations

import pytest

from runtime.replicas.dispatch import Dispatcher, room_for
from tests.runtime.replicas.cluster_in_time import answer_all, best_s, slowed


@pytest.mark.not_counted
@pytest.mark.parametrize("factors", [(1.0, 1.0), (1.0, 3.0), (3.0, 1.0), (1.0, 2.0, 4.0)])
def test_unlike_replicas_together_are_as_fast_as_their_sum(factors: tuple[float, ...]) -> None:
    num = 1000 * len(factors) ** 2  # what is lost at the end is the same for any number
    models = [slowed(factor) for factor in factors]
    alone = [num / answer_all([model], num)[0] for model in models]
    together_s, counts = answer_all(models, num)
    assert num / together_s >= 0.95 * sum(alone)
    assert sum(counts) == num


@pytest.mark.not_counted
@pytest.mark.parametrize(
    ("batch", "num", "whole", "of_best"),
    [
        (16, 200, False, 0.98),
        (16, 500, False, 0.98),
        (16, 500, True, 0.98),
        (64, 200, True, 0.95),
        (64, 500, True, 0.95),
        (64, 500, False, 0.88),
        (64, 1000, True, 0.98),
        (64, 2000, False, 0.98),
        (256, 500, True, 0.80),
        (256, 1000, True, 0.90),
    ],
)
def test_after_a_warm_up_short_runs_on_unlike_replicas_come_near_the_best_there_is(
    batch: int, num: int, whole: bool, of_best: float
) -> None:
    """The best there is is itself below their sum where their batches hardly fill: 0.86 of it for
    500 requests and batches of 256. With an equal share for each it is half of that.
    """
    models = slowed(1.0, batch), slowed(3.0, batch)
    took_s, counts = answer_all(models, num, whole=whole, warm_up=16)
    assert sum(counts) == num
    assert took_s <= best_s(models, num) / of_best
    if num >= 15 * batch:
        alone = sum(num / answer_all([model], num)[0] for model in models)
        assert num / took_s >= 0.95 * alone


def shares_after_a_warm_up(took_s: tuple[float, float], each: int, num: int) -> list[int]:
    """Of `num` requests, where the two replicas took so long for `each` of them together."""
    dispatcher = Dispatcher([64, 64])
    for number in range(2 * each):
        dispatcher.add(number, 10, 10)
    for replica, numbers in dispatcher.assign(0.0).items():
        assert len(numbers) == each
        for number in numbers:
            dispatcher.made(number, 10, finished=True, now_s=took_s[replica])
    dispatcher.forget()
    assert dispatcher.speed_of(0) is None
    for number in range(num):
        dispatcher.add(number, 10, 10)
    given = dispatcher.assign(10.0)
    return [len(given.get(replica, [])) for replica in (0, 1)]


def test_a_warm_up_tells_unlike_replicas_apart_and_no_others() -> None:
    assert shares_after_a_warm_up((1.0, 3.0), 4, 40) == [30, 10]
    assert shares_after_a_warm_up((3.0, 1.0), 4, 40) == [10, 30]
    assert shares_after_a_warm_up((1.0, 1.4), 4, 40) == [20, 20]


def test_nobody_gets_what_the_others_answer_sooner_than_it_can_answer_anything() -> None:
    """100 take the fast one 1.6 s, full batches; a single answer takes the slow one 3 s."""
    assert shares_after_a_warm_up((1.0, 3.0), 64, 100) == [64, 0]


@pytest.mark.not_counted
@pytest.mark.parametrize("num", [200, 500, 1000])
@pytest.mark.parametrize("factors", [(1.0, 1.0), (1.0, 3.0), (3.0, 1.0)])
def test_servers_that_are_asked_for_little_are_as_fast_as_their_sum(
    factors: tuple[float, ...], num: int
) -> None:
    models = [slowed(factor, batch=4) for factor in factors]
    alone = [num / answer_all([model], num, guessed=256)[0] for model in models]
    together_s, counts = answer_all(models, num, guessed=256)
    assert sum(counts) == num
    assert num / together_s >= 0.95 * sum(alone)


def test_a_server_alone_is_full_at_once() -> None:
    dispatcher = Dispatcher([room_for(256)], guessed=True)
    for number in range(500):
        dispatcher.add(number, 10, 10, urgent=False)
    assert len(dispatcher.assign(0.0)[0]) == room_for(256)


def test_who_is_left_of_two_servers_is_full_at_once() -> None:
    dispatcher = Dispatcher([100, 100], guessed=True)
    for number in range(200):
        dispatcher.add(number, 10, 10, urgent=False)
    given = dispatcher.assign(0.0)
    dispatcher.lose(0)
    assert len(dispatcher.assign(0.1)[1]) == 100 - len(given[1])


def test_what_somebody_waits_for_waits_for_no_measurement() -> None:
    dispatcher = Dispatcher([100, 100], guessed=True)
    for number in range(150):
        dispatcher.add(number, 10, 10)
    assert sum(map(len, dispatcher.assign(0.0).values())) == 150


def test_what_was_shown_in_a_warm_up_is_forgotten() -> None:
    dispatcher = Dispatcher([100, 100], guessed=True)
    for number in range(2):
        dispatcher.add(number, 10, 10, urgent=False)
    given = dispatcher.assign(0.0)
    dispatcher.made(given[0][0], 10, finished=True, now_s=2.0)
    assert dispatcher.speed_of(0) == 10.0
    dispatcher.forget()
    assert dispatcher.speed_of(0) is None
    for number in range(10, 90):
        dispatcher.add(number, 10, 10, urgent=False)
    given = dispatcher.assign(3.0)
    assert (len(given[0]), len(given[1])) == (10, 9)  # with what it has, a quarter of 40 each


def test_a_server_with_few_requests_shows_how_fast_it_is() -> None:
    """In Server: two at once, one server three times as fast."""
    dispatcher = Dispatcher([room_for(256)] * 2, guessed=True)
    has: dict[int, list[tuple[float, int]]] = {0: [], 1: []}
    counts = [0, 0]
    for number in range(400):
        now_s = 0.25 * number
        for replica in (0, 1):
            for end_s, ended in [each for each in has[replica] if each[0] <= now_s]:
                dispatcher.made(ended, 10, finished=True, now_s=end_s)
                counts[replica] += 1
            has[replica] = [each for each in has[replica] if each[0] > now_s]
        dispatcher.add(number, 10, 10)
        for replica, given in dispatcher.assign(now_s).items():
            takes_s = (0.9, 0.3)[replica]
            for each in given:
                start_s = max([now_s, *(end_s for end_s, _ in has[replica])])
                has[replica].append((start_s + takes_s, each))
    speeds = dispatcher.speed_of(0), dispatcher.speed_of(1)
    assert speeds[0] is not None and speeds[1] is not None
    assert speeds[1] == pytest.approx(3 * speeds[0], rel=0.2)
    assert counts[1] > 2 * counts[0]


def test_a_server_that_takes_fewer_gets_fewer() -> None:
    dispatcher = Dispatcher([100, 100], guessed=True)
    dispatcher.limit(1, 3)
    for number in range(60):
        dispatcher.add(number, 10, 10)
    given = dispatcher.assign(0.0)
    assert (len(given[0]), len(given[1])) == (57, 3)


def test_a_split_by_number_would_not_be() -> None:
    fast, slow = slowed(1.0), slowed(3.0)
    halves_s = max(answer_all([model], 1000)[0] for model in (fast, slow))
    assert answer_all([fast, slow], 2000)[0] < 0.75 * halves_s


def test_many_equal_replicas_lose_nothing() -> None:
    one_s, _ = answer_all([slowed(1.0)], 500)
    together_s, counts = answer_all([slowed(1.0)] * 8, 4000)
    assert together_s <= one_s / 0.95
    assert max(counts) - min(counts) <= 50


def test_work_is_counted_in_tokens_and_not_in_requests() -> None:
    dispatcher = Dispatcher([100, 100])
    dispatcher.add(0, 5000, 10)
    for number in range(1, 9):
        dispatcher.add(number, 100, 10)
    given = dispatcher.assign(0.0)
    assert given == {0: [0], 1: [1, 2, 3, 4, 5, 6, 7, 8]}


def test_nobody_gets_more_than_there_is_room_for_and_the_rest_waits() -> None:
    dispatcher = Dispatcher([3, 3])
    for number in range(10):
        dispatcher.add(number, 10, 10)
    given = dispatcher.assign(0.0)
    assert sorted(map(len, given.values())) == [3, 3]
    assert dispatcher.num_waiting == 4
    assert dispatcher.assign(0.1) == {}
    first = given[0][0]
    assert dispatcher.made(first, 5, finished=True, now_s=1.0) == 0
    assert dispatcher.assign(1.0) == {0: [6]}


def test_the_last_requests_wait_for_the_fast_one() -> None:
    dispatcher = Dispatcher([2, 2])
    for number in range(300):
        dispatcher.add(number, 10, 10)
    has: dict[int, list[int]] = {0: [], 1: []}
    now_s, last_to_slow = 0.0, 0
    while dispatcher.num_waiting:
        given = dispatcher.assign(now_s)
        for replica, numbers in given.items():
            has[replica] += numbers
            last_to_slow = max([last_to_slow, *numbers]) if replica else last_to_slow
        now_s += 0.1
        dispatcher.made(has[0].pop(0), 10, finished=True, now_s=now_s)
        if round(now_s * 10) % 10 == 0 and has[1]:  # the other one takes ten times as long
            dispatcher.made(has[1].pop(0), 10, finished=True, now_s=now_s)
    speeds = dispatcher.speed_of(0), dispatcher.speed_of(1)
    assert speeds[0] is not None and speeds[1] is not None
    assert speeds[0] == pytest.approx(10 * speeds[1], rel=0.2)
    assert 200 < last_to_slow < 290  # it has room for the rest, too
    assert has[1] == []


def test_what_a_lost_replica_had_is_first_in_line_in_its_order() -> None:
    dispatcher = Dispatcher([2, 2])
    for number in range(6):
        dispatcher.add(number, 10, 10)
    given = dispatcher.assign(0.0)
    assert dispatcher.lose(0) == given[0]
    assert dispatcher.alive == [1]
    assert dispatcher.assign(0.1) == {}
    for number in given[1]:
        dispatcher.made(number, 10, finished=True, now_s=1.0)
    assert dispatcher.assign(1.0) == {1: given[0]}
    assert dispatcher.lose(1) == given[0]
    assert dispatcher.assign(2.0) == {}
    assert dispatcher.num_open == 4


def test_a_replica_with_little_to_do_says_nothing_of_its_speed() -> None:
    dispatcher = Dispatcher([room_for(100), room_for(100)])
    for number in range(50):
        dispatcher.add(number, 10, 10)
        (replica,) = dispatcher.assign(number * 10.0)
        dispatcher.made(number, 10, finished=True, now_s=number * 10.0 + 9.0)
        assert replica == 0
    assert dispatcher.speed_of(0) is None
