"""The search for the highest rate whose run is VALID: which probe comes next, and when it is over.

Short probes find two rates between which it lies, longer ones where in between, and whole runs
confirm it. This file knows no engine and no clock: an oracle makes the probes, so that a search
that was stopped goes on by being asked the same again, and a simulated engine is searched alike.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

from harness.search.edge import Edge
from harness.search.outcome import Kind, ProbeOutcome, Step

_PARTS: dict[Kind, int] = {"short": 32, "long": 8, "whole": 1}  # of a whole run's queries
_LEAST_QUERIES = 128  # of any probe: fewer say little of a p99
# How many times more answers beyond a limit than a whole run may have end a probe: with bad luck,
# a few come together.
_SLACK: dict[Kind, float] = {"short": 6.0, "long": 3.0}
_BRACKET = 0.30  # as wide as this, short probes make way for longer ones
_UP, _MOST_UP = 1.15, 2.0  # the steps towards rates that nothing is known of
_DOWN, _MOST_DOWN = 0.85, 0.5
_MOST_PROBES = 40
_MOST_RUNS = 4  # those that were given up count as far as they went
_MOST_LONG = 2
# Shorter probes miss the worst that a whole run meets, and take the edge for higher than it is: by
# so many tolerances the first run keeps away from it.
_SHORT_SIGHT = 1.5
_STEP_BACK = 0.8
_NEARLY = 0.5  # of its answers there, a run is near the edge
_NEAR_LOAD = 0.7  # of a run that foretells where the edge is
_TOO_HIGH = 0.01  # an estimate is, as a load rises faster than its power
_MARGIN = 0.15  # of a bracket, on a logarithmic scale


def rounded(rate: float) -> float:
    """A rate as it is asked for: to five digits."""
    return float(f"{rate:.5g}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is searched, in queries a second: between `lowest` and `highest`, from `start` on, to a
    share of `tolerance`. `whole` are the queries of a whole run at a rate, and `most_over` how many
    of so many may be beyond a limit.
    """

    start: float
    lowest: float
    highest: float
    tolerance: float
    whole: Callable[[float], int]
    most_over: Callable[[int], int]

    def step(self, kind: Kind, rate: float) -> Step:
        """A probe of this kind."""
        whole = self.whole(rate)
        queries = min(whole, max(whole // _PARTS[kind], _LEAST_QUERIES))
        most = self.most_over(whole)
        if kind != "whole":
            most = round(most * _SLACK[kind] * queries / whole)
        return Step(
            kind=kind,
            rate=rounded(rate),
            queries=queries,
            most_over=max(most, 0),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended. `best` is the whole run at the highest rate that is VALID, None where
    there is none; `limited` is whether no higher rate was allowed.
    """

    best: ProbeOutcome | None
    limited: bool
    probes: tuple[ProbeOutcome, ...]


def find_highest(goal: Goal, oracle: Callable[[Step], ProbeOutcome]) -> Found:
    """Search; what the oracle raises ends it."""
    return _Search(goal, oracle).go()


class _Search:
    """A search that goes on."""

    def __init__(self, goal: Goal, oracle: Callable[[Step], ProbeOutcome]) -> None:
        self._goal = goal
        self._oracle = oracle
        self._edge = Edge()
        self._probes: list[ProbeOutcome] = []

    def go(self) -> Found:
        """Probe after probe, until a run is confirmed or nothing is left to try."""
        step: Step | None = self._goal.step("short", self._allowed(self._goal.start))
        while step is not None and len(self._probes) < _MOST_PROBES:
            outcome = self._oracle(step)
            self._probes.append(outcome)
            self._edge.add(outcome)
            step = self._next()
        best = self._best
        limited = best is not None and best.rate >= self._goal.highest
        return Found(best, limited, tuple(self._probes))

    @property
    def _best(self) -> ProbeOutcome | None:
        """The run that is confirmed so far."""
        return max((p for p in self._probes if p.valid), key=lambda p: p.rate, default=None)

    def _next(self) -> Step | None:
        """The probe to make now; None where the search is over."""
        edge, goal = self._edge, self._goal
        low, high = edge.low, edge.high
        if low is None:
            return self._below(high)
        if high is None:
            return self._above(low)
        longs = sum(probe.kind == "long" for probe in self._probes)
        runs = sum(probe.kind == "whole" for probe in self._probes)
        within = self._within(low.rate, high.rate)
        if not runs and edge.width > _BRACKET:
            return goal.step("short", within)
        if not runs and longs < _MOST_LONG and edge.width > goal.tolerance:
            return goal.step("long", within)
        enough = _MOST_RUNS if self._best else 2 * _MOST_RUNS
        return self._confirming(first=not runs) if self._spent < enough else None

    def _below(self, high: ProbeOutcome | None) -> Step | None:
        """Where no rate has passed yet: a lower one than all."""
        assert high is not None, "nothing was probed"
        if high.rate <= self._goal.lowest:
            return None
        rate = min(max(self._edge.rate, _MOST_DOWN * high.rate), _DOWN * high.rate)
        return self._goal.step("short", self._allowed(rate))

    def _above(self, low: ProbeOutcome) -> Step | None:
        """Where every rate has passed: a higher one than all, or a run at the highest allowed."""
        if low.rate >= self._goal.highest:
            return None if low.kind == "whole" else self._goal.step("whole", low.rate)
        rate = min(max(self._edge.rate, _UP * low.rate), _MOST_UP * low.rate)
        return self._goal.step("short", self._allowed(rate))

    def _within(self, low: float, high: float) -> float:
        """The edge as it is estimated, but so far from both ends that a probe there narrows it."""
        room = float((high / low) ** _MARGIN)
        return min(max(self._edge.rate, low * room), high / room)

    def _confirming(self, *, first: bool) -> Step | None:
        """A whole run where it should be VALID: a little below the edge, as near as the search is
        to come; None once one is near enough.
        """
        goal, best, high, edge = self._goal, self._best, self._high_run, self._edge.rate
        if first:
            assert self._edge.high is not None, "nothing failed"
            rate = edge * (1.0 - _SHORT_SIGHT * goal.tolerance)
            rate = min(rate, self._edge.high.rate * (1.0 - goal.tolerance / 2))
            return goal.step("whole", self._allowed(rate))
        rate = edge * (1.0 - goal.tolerance / 2)
        if high is not None:
            edge, back = min(edge, high), goal.tolerance * self._back
            rate = min(max(rate, high * (1.0 - 2.0 * back)), high * (1.0 - back))
        if best is None:
            return goal.step("whole", self._allowed(rate))
        assert self._edge.high is not None, "nothing failed"
        bound = self._edge.high.rate
        if bound <= best.rate * (1.0 + goal.tolerance):
            return None
        if edge <= best.rate * (1.0 + goal.tolerance + _TOO_HIGH):
            if best.load > _NEAR_LOAD:
                return None
            rate = math.sqrt(best.rate * bound)  # so far below its limits it foretells nothing
        return goal.step("whole", self._allowed(max(rate, best.rate * (1 + goal.tolerance / 2))))

    @property
    def _back(self) -> float:
        """How far to step back at least from a run that was not VALID, in tolerances: ever further
        while runs fail, and at once where one did early.
        """
        runs = [probe for probe in self._probes if probe.kind == "whole"]
        failed = list(itertools.takewhile(lambda run: not run.valid, reversed(runs)))
        nearly = bool(failed) and failed[0].answered > _NEARLY * failed[0].queries
        patient = nearly and self._spent < _MOST_RUNS
        return _STEP_BACK * (1.0 if patient else float(2 ** max(len(failed) - 1, 0)))

    @property
    def _spent(self) -> float:
        """What whole runs took so far, in whole runs."""
        return sum(p.answered / p.queries for p in self._probes if p.kind == "whole")

    @property
    def _high_run(self) -> float | None:
        """The lowest rate of a whole run that is not VALID."""
        failed = (p.rate for p in self._probes if p.kind == "whole" and not p.valid)
        return min(failed, default=None)

    def _allowed(self, rate: float) -> float:
        return min(max(rate, self._goal.lowest), self._goal.highest)
