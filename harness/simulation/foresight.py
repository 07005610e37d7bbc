"""What a test would show before it is made: LoadGen's queries are known, down to the order of
their samples and to the nanosecond, and of an engine how it schedules. How fast it is, one probe
tells.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.simulation.simulated import load_of
from runtime.simulated.virtual import drive

if TYPE_CHECKING:
    from harness.loadgen.settings import LoadgenPlan
    from harness.rules.rounds import Seeds
    from runtime.simulated.model import EngineModel
    from runtime.simulated.virtual import Answered, Load

_MOST_QUERIES = 30_000  # of a test: what comes later changes a percentile little
_EXACT = 0.001  # of a pace
_EXACT_RATE = 0.002
_STEEPNESS, _LEAST_STRIDE, _MOST_STRIDE = 2.0, 0.01, 0.3  # of the first step, in logarithms
_FURTHEST = math.log(4096.0)
_LEAST_LOAD = 1e-6

_SKEWED = 0.3  # so much slower than the memory the arithmetic is tried, in logarithms
_MOST_SKEWED = 1.0  # the furthest that one test moves how the two compare
# The square of the slope by which the middle latencies follow how the two compare: where it is no
# more than this, a test hardly tells, and what was known before stays.
_HARDLY = 0.03

MostOver = Callable[[int], int]
"""How many of so many answers may be beyond a limit."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How many times as long as those of a model an engine's arithmetic and its traffic take."""

    arithmetic: float = 1.0
    memory: float = 1.0

    @classmethod
    def of(cls, mean: float, skew: float) -> Pace:
        """By the mean of both, and how much more the arithmetic is, in logarithms."""
        return cls(math.exp(mean + skew / 2), math.exp(mean - skew / 2))

    @property
    def mean(self) -> float:
        """Of the logarithms."""
        return (math.log(self.arithmetic) + math.log(self.memory)) / 2

    @property
    def skew(self) -> float:
        """The difference of the logarithms."""
        return math.log(self.arithmetic / self.memory)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the first `answered` answers of a test showed: the load at p99, and the TTFT and the
    TPOT in the middle as shares of their limits, where they are known.
    """

    answered: int
    load: float
    middle: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """An engine that is like `model` but for its pace, under tests of one dataset (`prompts` and
    `answers` are the tokens of each sample), with limits in seconds.
    """

    model: EngineModel
    prompts: Sequence[int]
    answers: Sequence[int]
    seeds: Seeds
    ttft_s: float
    tpot_s: float

    def load(self, plan: LoadgenPlan, pace: Pace, most_over: MostOver) -> float:
        """The share that a test uses up of the limit which it comes nearest to, below 1 where no
        more answers than `most_over` are beyond it.
        """
        return max(self._shares(_first(self._asked(plan), _MOST_QUERIES), pace, most_over))

    def pace(self, plan: LoadgenPlan, shown: Shown, near: Pace = Pace()) -> Pace:
        """The pace at which a test shows this load and, as nearly as can be, these middle
        latencies: by them arithmetic and memory are told apart, of which bursts and longer tests
        have other shares.
        """
        asked = self._asked(plan)
        even, off = self._at(asked, shown, near, near.skew)
        if shown.middle is None:
            return even
        other, off_there = self._at(asked, shown, even, near.skew + _SKEWED)
        slopes = [(there - here) / _SKEWED for here, there in zip(off, off_there, strict=True)]
        more = -sum(map(operator.mul, slopes, off)) / (sum(s * s for s in slopes) + _HARDLY)
        more = min(max(more, -_MOST_SKEWED), _MOST_SKEWED)
        return self._at(asked, shown, other, near.skew + more)[0]

    def highest(
        self, test: Callable[[float], LoadgenPlan], pace: Pace, most_over: MostOver, near: float
    ) -> float:
        """The rate at which the load of `test` is 1."""

        def beyond(log_rate: float) -> float:
            return _log(self.load(test(math.exp(log_rate)), pace, most_over))

        return math.exp(_root(beyond, math.log(near), _EXACT_RATE))

    def _at(
        self, asked: Load, shown: Shown, near: Pace, skew: float
    ) -> tuple[Pace, tuple[float, float]]:
        """The pace of this skew at which a test has the load that was shown, and how far its middle
        latencies are off there, in logarithms.
        """

        def beyond(mean: float) -> float:
            shares = self._shares(asked, Pace.of(mean, skew), p99_over, shown.answered)
            return _log(max(shares)) - _log(shown.load)

        pace = Pace.of(_root(beyond, near.mean, _EXACT), skew)
        ttft, tpot = shown.middle or (1.0, 1.0)
        found = self._shares(asked, pace, _half, shown.answered)
        return pace, (_log(found[0]) - _log(ttft), _log(found[1]) - _log(tpot))

    def _asked(self, plan: LoadgenPlan) -> Load:
        return load_of(plan, self.prompts, self.answers, self.seeds)

    def _shares(
        self, asked: Load, pace: Pace, most_over: MostOver, answered: int | None = None
    ) -> tuple[float, float]:
        """Of the limits of TTFT and TPOT, of the first answers only if their number is given."""
        time = self.model.time.slowed(pace.arithmetic, pace.memory)
        left = answered or len(asked.prompts)

        def enough(_ttft_s: float, _latency_s: float, _num_tokens: int) -> bool:
            nonlocal left
            left -= 1
            return left <= 0

        done = drive(self.model.model_copy(update={"time": time}), asked, enough)
        return _loads(done, asked, most_over, self.ttft_s, self.tpot_s)


def p99_over(queries: int) -> int:
    """The answers beyond a limit that leave p99 below it.

    Source: `results.cc`, the value at `count * 0.99`, rounded down, of the sorted ones.
    """
    return max(queries - queries * 99 // 100 - 1, 0)


def _half(queries: int) -> int:
    """The answers beyond what is in the middle, as LoadGen takes it."""
    return queries - queries // 2 - 1


def _log(share: float) -> float:
    return math.log(max(share, _LEAST_LOAD))


def _first(asked: Load, count: int) -> Load:
    assert asked.arrivals_s is not None, "a test with a rate"
    return replace(
        asked,
        prompts=asked.prompts[:count],
        answers=asked.answers[:count],
        arrivals_s=asked.arrivals_s[:count],
    )


def _loads(
    done: Answered, asked: Load, most_over: MostOver, ttft_s: float, tpot_s: float
) -> tuple[float, float]:
    """Of TTFT and of TPOT, which an answer of one token does not have."""
    import numpy as np

    lengths = asked.answers[done.numbers]
    several = lengths > 1
    tpots = (done.last_s - done.first_s)[several] / (lengths[several] - 1)

    def at(values: np.ndarray) -> float:
        place = len(values) - 1 - max(most_over(len(values)), 0)
        return float(np.partition(values, place)[place]) if len(values) else 0.0

    return at(done.first_s - done.arrived_s) / ttft_s, at(tpots) / tpot_s


def _root(rising: Callable[[float], float], start: float, exact: float) -> float:
    """Where a function that rises, a little unsteadily, is 0: from a start outwards until it is
    passed, and then by the Illinois form of regula falsi; the furthest that was tried where it is
    not found.
    """
    here = (start, rising(start))
    sign = 1.0 if here[1] > 0 else -1.0
    stride = min(max(abs(here[1]) / _STEEPNESS, _LEAST_STRIDE), _MOST_STRIDE)
    while abs(here[0] - start) < _FURTHEST:
        place = here[0] - sign * stride
        there = (place, rising(place))
        if (there[1] > 0) != (sign > 0):
            low, high = sorted((here, there))
            return _between(rising, low, high, exact)
        here, stride = there, 2 * stride
    return here[0]


def _between(
    rising: Callable[[float], float],
    low: tuple[float, float],
    high: tuple[float, float],
    exact: float,
) -> float:
    """The last place that is known to be below 0, or at it."""
    (below, under), (above, over) = low, high
    side = 0
    while above - below > exact:
        share = under / (under - over) if over > under else 0.5
        place = below + min(max(share, 0.1), 0.9) * (above - below)
        value = rising(place)
        if value > 0:
            above, over = place, value
            under = under / 2 if side > 0 else under
            side = 1
        else:
            below, under = place, value
            over = over / 2 if side < 0 else over
            side = -1
    return below
