"""Which replica answers which request: the one that will be through with it first.

Work is counted in tokens. Each replica holds no more than its batch and a little in reserve, so
that the rest can still go to whoever is faster; near the end, a slow replica gets nothing that the
others would finish sooner. Nothing here knows how requests travel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_RESERVE = 8
_RESERVE_SHARE = 8  # of a batch: more than ends while the next requests are on their way
_LEAST_S = 1.0  # at full load, before a speed is believed
_MEMORY_S = 30.0  # a replica that has become slow is known after about this long
_EXPECTED = 8.0  # answers that the first guess of their length counts for


def room_for(max_in_flight: int) -> int:
    """Requests that a replica may hold which computes `max_in_flight` at once."""
    return max_in_flight + max(_LEAST_RESERVE, max_in_flight // _RESERVE_SHARE)


@dataclass(slots=True)
class _Replica:
    """What is known of one replica."""

    room: int
    open: int = 0
    work: float = 0.0
    """Tokens of its open requests that are still to come."""
    whole: float = 0.0
    """All tokens of its open requests: as long as a batch is full, its requests have a part each of
    its speed, so that a new one is through when as much was done as they all are.
    """
    lost: bool = False
    full_s: float = 0.0
    """Time at full load, that of long ago left out, and the tokens of that time: a replica with
    little to do says nothing of how fast it is.
    """
    full_tokens: float = 0.0
    since_s: float = 0.0
    was_full: bool = False

    @property
    def measured(self) -> float | None:
        """Tokens a second at full load; None while that is not known."""
        return self.full_tokens / self.full_s if self.full_s >= _LEAST_S else None

    def look(self, now_s: float) -> None:
        """The load changes now."""
        if self.was_full:
            self.full_s += now_s - self.since_s
            if self.full_s > _MEMORY_S:
                self.full_s /= 2
                self.full_tokens /= 2
        self.since_s, self.was_full = now_s, 2 * self.open >= self.room


@dataclass(slots=True)
class _Request:
    """A request that is not answered: its prompt's tokens, the most and the made ones of its
    answer, and where it is.
    """

    prompt: int
    most: int
    made: int = 0
    replica: int | None = None
    work: float = 0.0
    whole: float = 0.0


class Dispatcher:
    """Replicas that may hold so many requests each, and the requests that are not answered."""

    def __init__(self, rooms: Sequence[int]) -> None:
        self._replicas = [_Replica(room) for room in rooms]
        self._waiting: deque[int] = deque()
        self._requests: dict[int, _Request] = {}
        self._waiting_tokens = 0  # of prompts, and the most of answers
        self._waiting_most = 0
        self._ended = 0.0
        self._ended_share = 0.0  # of the most that each could have, summed

    @property
    def num_waiting(self) -> int:
        """Requests that no replica has."""
        return len(self._waiting)

    @property
    def num_open(self) -> int:
        """Requests that are not answered."""
        return len(self._requests)

    @property
    def alive(self) -> list[int]:
        """The replicas that are not lost."""
        return [number for number, each in enumerate(self._replicas) if not each.lost]

    def open_on(self, replica: int) -> int:
        """Requests that a replica has."""
        return self._replicas[replica].open

    def speed_of(self, replica: int) -> float | None:
        """Tokens a second of a replica with enough to do; None while that is not known."""
        return self._replicas[replica].measured

    def add(self, request: int, prompt: int, most: int) -> None:
        """A request with so many tokens of a prompt, and at most so many of an answer."""
        self._requests[request] = _Request(prompt, most)
        self._wait(request, first=False)

    def assign(self, now_s: float) -> dict[int, list[int]]:
        """The waiting requests that go to a replica now, by replica, in order of arrival."""
        given: dict[int, list[int]] = {}
        speeds = self._speeds()
        while self._waiting and (number := self._choice(self._waiting[0], speeds)) is not None:
            request = self._waiting.popleft()
            asked, replica = self._requests[request], self._replicas[number]
            self._waiting_tokens -= asked.prompt
            self._waiting_most -= asked.most
            asked.replica = number
            asked.work = asked.whole = self._expected(asked)
            if not replica.open:
                replica.since_s = now_s
            replica.open += 1
            replica.work += asked.work
            replica.whole += asked.whole
            given.setdefault(number, []).append(request)
        for number in given:
            self._replicas[number].look(now_s)
        return given

    def made(self, request: int, num_tokens: int, *, finished: bool, now_s: float) -> int:
        """A replica made tokens of an answer, and perhaps its last; the number of the replica."""
        asked = self._requests[request]
        assert asked.replica is not None, "an answer to what no replica has"
        replica = self._replicas[asked.replica]
        done = num_tokens + (0 if asked.made or not num_tokens else asked.prompt)
        asked.made += num_tokens
        if replica.was_full:
            replica.full_tokens += done
        off = asked.work if finished else min(done, asked.work)
        asked.work -= off
        replica.work -= off
        if finished:
            del self._requests[request]
            replica.open -= 1
            replica.whole -= asked.whole
            self._ended += 1
            self._ended_share += asked.made / max(asked.most, 1)
            replica.look(now_s)
        return asked.replica

    def lose(self, replica: int) -> list[int]:
        """A replica answers no more; the requests that it had, which wait again, first of all."""
        gone = self._replicas[replica]
        gone.lost, gone.open, gone.work, gone.whole = True, 0, 0.0, 0.0
        had = [number for number, asked in self._requests.items() if asked.replica == replica]
        for number in reversed(had):
            asked = self._requests[number]
            asked.replica, asked.made, asked.work = None, 0, 0.0
            self._wait(number, first=True)
        return had

    def _wait(self, number: int, *, first: bool) -> None:
        asked = self._requests[number]
        self._waiting_tokens += asked.prompt
        self._waiting_most += asked.most
        if first:
            self._waiting.appendleft(number)
        else:
            self._waiting.append(number)

    def _choice(self, request: int, speeds: dict[int, float]) -> int | None:
        """Who gets a request; None where it waits for one that is full now."""
        if not speeds:
            return None
        work = self._expected(self._requests[request])
        ends = {
            number: (self._replicas[number].work + work) / speed for number, speed in speeds.items()
        }
        best = min(ends, key=ends.__getitem__)
        if self._has_room(best):
            return best
        roomy = [number for number in ends if self._has_room(number)]
        if not roomy:
            return None
        second = min(roomy, key=ends.__getitem__)
        through_s = (self._replicas[second].whole + work) / speeds[second]
        return second if through_s <= self._end(speeds) else None

    def _end(self, speeds: dict[int, float]) -> float:
        """When all would be through with everything, were it shared by speed."""
        waiting = self._waiting_tokens + self._answer_share * self._waiting_most
        work = waiting + sum(self._replicas[number].work for number in speeds)
        return work / sum(speeds.values())

    def _has_room(self, number: int) -> bool:
        return self._replicas[number].open < self._replicas[number].room

    def _speeds(self) -> dict[int, float]:
        """Of each that is not lost; one that is not measured is taken for an average one."""
        measured = {number: self._replicas[number].measured for number in self.alive}
        known = [speed for speed in measured.values() if speed]
        usual = sum(known) / len(known) if known else 1.0
        return {number: speed or usual for number, speed in measured.items()}

    def _expected(self, asked: _Request) -> float:
        """Tokens of a request, with an answer as long as those so far."""
        return asked.prompt + asked.most * self._answer_share

    @property
    def _answer_share(self) -> float:
        """How long answers are, of the most that they could be."""
        return (self._ended_share + _EXPECTED) / (self._ended + _EXPECTED)
