"""Which replica answers which request: the one that will be through with it first.

Work is counted in tokens. Each replica holds no more than its batch and a little in reserve, so
that the rest can still go to whoever is faster; near the end, a slow replica gets nothing that the
others would finish sooner. Where nobody says how large a batch is, of each replica's requests no
more are at stake than it has shown that it answers. Nothing here knows how requests travel.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

_LEAST_RESERVE = 8
_RESERVE_SHARE = 8  # of a batch: more than ends while the next requests are on their way
_LEAST_S = 1.0  # at full load, before a speed is believed
_MEMORY_S = 30.0  # a replica that has become slow is known after about this long
_EXPECTED = 8.0  # answers that the first guess of their length counts for
_AT_FIRST = 4  # part of its equal share that a replica may have before it has answered anything
_MORE = 4  # for each answer that took not much longer than the quickest: it computes many at once
_LONGER = 2.0
_LEAST_ANSWERS = 4  # of a spell, before it says how fast a replica is: one alone is long or short
_UNKNOWN = 1e-9  # tokens a second of each while none is known, so that shares alone decide
_ALIKE = 1.5  # between the slowest and the fastest in a warm-up: short as it is, equal ones differ


def room_for(max_in_flight: int) -> int:
    """Requests that a replica may hold which computes `max_in_flight` at once."""
    return max_in_flight + max(_LEAST_RESERVE, max_in_flight // _RESERVE_SHARE)


@dataclass(slots=True)
class _Replica:
    """What is known of one replica."""

    room: int
    full_at: float
    """Requests from which on it shows how fast it is."""
    shown: int = 0
    """Further requests that may be at stake, by what it has answered."""
    quickest_s: float = math.inf
    """A token, of all answers."""
    pace_s: float = math.inf
    """The same, with those of the warm-up: no answer comes sooner, however little there is to do.
    """
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
    spell_since_s: float = 0.0
    """Of the time since it had nothing to do, and what it did in it."""
    spell_tokens: float = 0.0
    spell_answers: int = 0
    spell_speed: float | None = None
    """Tokens a second in the latest one that has an end and says how fast it is."""
    hint: float | None = None
    """The same in the warm-up, where all have as much to do."""

    @property
    def measured(self) -> float | None:
        """Tokens a second at full load; None while that is not known."""
        return self.full_tokens / self.full_s if self.full_s >= _LEAST_S else None

    def given(self, num_requests: int, now_s: float) -> None:
        """It has so many more requests from now on. Its time counts when something has come of it:
        answers that are told whole come many at once.
        """
        if self.open == num_requests:
            self.spell_since_s, self.spell_tokens, self.spell_answers = now_s, 0.0, 0
        if not self.was_full:
            self.since_s, self.was_full = now_s, self.open >= self.full_at

    def answered(self, token_s: float, now_s: float) -> None:
        """It has a request less from now on, which took so long for each token of the answer."""
        self.quickest_s = min(self.quickest_s, token_s)
        self.pace_s = min(self.pace_s, token_s)
        self.shown += _MORE if token_s < _LONGER * self.quickest_s else 1
        if self.was_full:
            self.full_s += now_s - self.since_s
            if self.full_s > _MEMORY_S:
                self.full_s /= 2
                self.full_tokens /= 2
        self.since_s, self.was_full = now_s, self.open >= self.full_at
        self.spell_answers += 1
        took_s = now_s - self.spell_since_s
        if not self.open and self.spell_answers >= _LEAST_ANSWERS and took_s > 0:
            self.spell_speed = self.spell_tokens / took_s

    def forget(self) -> None:
        """Its time counts from now on; what it showed until now is no more than a hint."""
        self.hint, self.spell_speed = self.spell_speed, None
        self.full_s = self.full_tokens = 0.0
        self.shown, self.quickest_s = 0, math.inf


@dataclass(slots=True)
class _Request:
    """A request that is not answered: its prompt's tokens, the most and the made ones of its
    answer, whether somebody waits for the first of these, and where it is.
    """

    prompt: int
    most: int
    urgent: bool = True
    made: int = 0
    replica: int | None = None
    given_s: float = 0.0
    work: float = 0.0
    whole: float = 0.0


class Dispatcher:
    """Replicas that may hold so many requests each, and the requests that are not answered.

    Where these numbers are `guessed` and not what a replica computes at once, each is fed gradually
    with what is not urgent, and shows how fast it is with any request.
    """

    def __init__(self, rooms: Sequence[int], *, guessed: bool = False) -> None:
        self._guessed = guessed
        self._replicas = [_Replica(room, 1 if guessed else room / 2) for room in rooms]
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

    def limit(self, replica: int, room: int) -> None:
        """From now on a replica may hold so many requests; more that it has are not taken away."""
        self._replicas[replica].room = room

    def forget(self) -> None:
        """The replicas are to show anew how fast they are: until now they were warmed up. Until
        they have, they are taken to differ as they did in it.
        """
        for replica in self._replicas:
            replica.forget()

    def add(self, request: int, prompt: int, most: int, *, urgent: bool = True) -> None:
        """A request with so many tokens of a prompt, and at most so many of an answer; `urgent`
        where somebody waits for the first of these.
        """
        self._requests[request] = _Request(prompt, most, urgent)
        self._wait(request, first=False)

    def assign(self, now_s: float) -> dict[int, list[int]]:
        """The waiting requests that go to a replica now, by replica, in order of arrival."""
        given: dict[int, list[int]] = {}
        speeds, rooms = self._speeds(), self._rooms()
        while self._waiting:
            number = self._choice(self._requests[self._waiting[0]], speeds, rooms)
            if number is None:
                break
            request = self._waiting.popleft()
            asked, replica = self._requests[request], self._replicas[number]
            self._waiting_tokens -= asked.prompt
            self._waiting_most -= asked.most
            asked.replica, asked.given_s = number, now_s
            asked.work = asked.whole = self._expected(asked)
            replica.open += 1
            replica.work += asked.work
            replica.whole += asked.whole
            given.setdefault(number, []).append(request)
        for number, requests in given.items():
            self._replicas[number].given(len(requests), now_s)
        return given

    def made(self, request: int, num_tokens: int, *, finished: bool, now_s: float) -> int:
        """A replica made tokens of an answer, and perhaps its last; the number of the replica."""
        asked = self._requests[request]
        assert asked.replica is not None, "an answer to what no replica has"
        replica = self._replicas[asked.replica]
        done = num_tokens + (0 if asked.made or not num_tokens else asked.prompt)
        asked.made += num_tokens
        replica.spell_tokens += done
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
            replica.answered((now_s - asked.given_s) / max(asked.made, 1), now_s)
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

    def _choice(
        self, asked: _Request, speeds: dict[int, float], rooms: dict[int, int]
    ) -> int | None:
        """Who gets a request; None where it waits for one that is full now."""
        if not speeds:
            return None
        work = self._expected(asked)
        soonest_s = {number: self._soonest_s(number, asked) for number in speeds}
        through = {n: (self._replicas[n].work + work) / speed for n, speed in speeds.items()}
        # of those that would be through at the same time, the one with least to do
        ends = {n: (max(end_s, soonest_s[n]), end_s) for n, end_s in through.items()}
        best = min(ends, key=ends.__getitem__)
        if self._has_room(best, asked, rooms):
            return best
        roomy = [number for number in ends if self._has_room(number, asked, rooms)]
        if not roomy:
            return None
        second = min(roomy, key=ends.__getitem__)
        if self._guessed and asked.urgent:
            return second
        through_s = (self._replicas[second].whole + work) / speeds[second]
        others = [number for number in ends if number != second]
        return second if max(through_s, soonest_s[second]) <= self._end(others, speeds) else None

    def _soonest_s(self, number: int, asked: _Request) -> float:
        """In which a replica with nothing else to do would be through with a request."""
        pace_s = self._replicas[number].pace_s
        return asked.most * self._answer_share * pace_s if pace_s < math.inf else 0.0

    def _end(self, others: Sequence[int], speeds: dict[int, float]) -> float:
        """When these would be through with all that waits, too, were it shared by speed."""
        waiting = self._waiting_tokens + self._answer_share * self._waiting_most
        work = waiting + sum(self._replicas[number].work for number in others)
        return work / sum(speeds[number] for number in others)

    def _has_room(self, number: int, asked: _Request, rooms: dict[int, int]) -> bool:
        replica = self._replicas[number]
        return replica.open < (replica.room if asked.urgent else rooms[number])

    def _rooms(self) -> dict[int, int]:
        """For what is not urgent, of each that is not lost."""
        alive = self.alive
        if not self._guessed or len(alive) < 2:
            return {number: self._replicas[number].room for number in alive}
        share = max(1, len(self._requests) // (_AT_FIRST * len(alive)))
        each = {number: self._replicas[number] for number in alive}
        return {number: min(known.room, share + known.shown) for number, known in each.items()}

    def _speeds(self) -> dict[int, float]:
        """Of each that is not lost; one that is not measured is taken for an average one, or for
        what the warm-up showed of all. The least known come first, so that of equal ones they are
        tried.
        """
        known_s = {number: self._replicas[number].full_s for number in self.alive}
        by_time = sorted(known_s, key=known_s.__getitem__)
        measured = {number: self._replicas[number].measured for number in by_time}
        hints = self._hints()
        known = [speed / hints.get(number, 1.0) for number, speed in measured.items() if speed]
        usual = sum(known) / len(known) if known else (1.0 if hints else _UNKNOWN)
        return {
            number: speed or usual * hints.get(number, 1.0) for number, speed in measured.items()
        }

    def _hints(self) -> dict[int, float]:
        """How fast each was in the warm-up; nothing where not all showed it, or much the same."""
        hints = {number: self._replicas[number].hint for number in self.alive}
        told = {number: hint for number, hint in hints.items() if hint}
        if len(told) < len(hints) or not told or max(told.values()) < _ALIKE * min(told.values()):
            return {}
        return told

    def _expected(self, asked: _Request) -> float:
        """Tokens of a request, with an answer as long as those so far."""
        return asked.prompt + asked.most * self._answer_share

    @property
    def _answer_share(self) -> float:
        """How long answers are, of the most that they could be."""
        return (self._ended_share + _EXPECTED) / (self._ended + _EXPECTED)
