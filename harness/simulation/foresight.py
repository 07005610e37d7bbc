"""What a test would show before it is made: LoadGen's queries are known, down to the order of
their samples and to the nanosecond, and of an engine how it schedules. How fast it is, one probe
tells.
"""

from __future__ import annotations

import math
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

MostOver = Callable[[int], int]
"""How many of so many answers may be beyond a limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """An engine whose iterations last `pace` times as long as those of `model`, under tests of one
    dataset (`prompts` and `answers` are the tokens of each sample), with limits in seconds.
    """

    model: EngineModel
    prompts: Sequence[int]
    answers: Sequence[int]
    seeds: Seeds
    ttft_s: float
    tpot_s: float

    def load(
        self, plan: LoadgenPlan, pace: float, most_over: MostOver, answered: int | None = None
    ) -> float:
        """The share that a test uses up of the limit which it comes nearest to, below 1 where no
        more answers than `most_over` are beyond it; of the first `answered` only, if given.
        """
        asked = load_of(plan, self.prompts, self.answers, self.seeds)
        return self._load(asked, pace, most_over, answered)

    def pace(self, plan: LoadgenPlan, load: float, answered: int, near: float = 1.0) -> float:
        """The pace at which a test has this load at p99 of its first `answered` answers."""
        asked = load_of(plan, self.prompts, self.answers, self.seeds)
        wanted = math.log(max(load, _LEAST_LOAD))

        def beyond(log_pace: float) -> float:
            found = self._load(asked, math.exp(log_pace), p99_over, answered)
            return math.log(max(found, _LEAST_LOAD)) - wanted

        return math.exp(_root(beyond, math.log(near), _EXACT))

    def highest(
        self, test: Callable[[float], LoadgenPlan], pace: float, most_over: MostOver, near: float
    ) -> float:
        """The rate at which the load of `test` is 1."""

        def beyond(log_rate: float) -> float:
            plan = test(math.exp(log_rate))
            return math.log(max(self.load(plan, pace, most_over), _LEAST_LOAD))

        return math.exp(_root(beyond, math.log(near), _EXACT_RATE))

    def _load(self, asked: Load, pace: float, most_over: MostOver, answered: int | None) -> float:
        model = self.model.model_copy(update={"time": self.model.time.slowed(pace)})
        if answered is None:
            asked = _first(asked, _MOST_QUERIES)
        left = answered or len(asked.prompts)

        def enough(_ttft_s: float, _latency_s: float, _num_tokens: int) -> bool:
            nonlocal left
            left -= 1
            return left <= 0

        done = drive(model, asked, enough)
        return max(_loads(done, asked, most_over, self.ttft_s, self.tpot_s))


def p99_over(queries: int) -> int:
    """The answers beyond a limit that leave p99 below it.

    Source: `results.cc`, the value at `count * 0.99`, rounded down, of the sorted ones.
    """
    return max(queries - queries * 99 // 100 - 1, 0)


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
