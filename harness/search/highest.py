"""The search for the highest rate whose run is VALID: which probe comes next, and when it is over.

What a probe shows tells how fast the engine is, and that, where the edge is: short probes come
near it, a longer one makes it sure, and whole runs confirm it. This file knows no engine and no
clock: an oracle makes the probes, so that a search that was stopped goes on by being asked the same
again, and a simulated engine is searched alike.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from harness.search.outcome import Kind, ProbeOutcome, Step

_PARTS: dict[Kind, int] = {"short": 32, "long": 8, "whole": 1}  # of a whole run's queries
_LEAST_QUERIES = 128  # of any probe: fewer say little of a p99
# How many times more answers beyond a limit than a whole run may have end a probe: with bad luck,
# a few come together.
_SLACK: dict[Kind, float] = {"short": 6.0, "long": 3.0}
_NEAR = 0.1  # of the edge: nearer than this, short probes make way for a longer one
_MOST_SHORT, _MOST_LONG = 16, 4
_MOST_PROBES = 40
_MOST_RUNS = 4  # those that were given up count as far as they went
_MARGIN = 0.5  # of the tolerance: so far a run stays below the edge
_PROVES = 0.98  # of the tolerance: so far below a failed run one that is VALID is near enough
_NEAR_MISS, _NEAR_END = 1.15, 0.5  # the load or the answered share of a run that nearly passed
_TIMES_NEAR = 2  # runs that fail before what comes next is further below them
_NEAR_LOAD = 0.7  # of a run that shows where the edge is


class Foretells(Protocol):
    """What is known of an engine before its next probe."""

    def edge(self, probes: Sequence[ProbeOutcome]) -> float:
        """The rate at which a whole run comes to its limits, as far as these tell; there is one."""
        ...


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
        """A probe of this kind, at the rate or the nearest that is allowed."""
        rate = rounded(min(max(rate, self.lowest), self.highest))
        whole = self.whole(rate)
        queries = min(whole, max(whole // _PARTS[kind], _LEAST_QUERIES))
        most = self.most_over(whole)
        if kind != "whole":
            most = round(most * _SLACK[kind] * queries / whole)
        return Step(kind=kind, rate=rate, queries=queries, most_over=max(most, 0))


@dataclass(frozen=True, slots=True)
class Found:
    """How a search ended. `best` is the whole run at the highest rate that is VALID, None where
    there is none; `limited` is whether no higher rate was allowed.
    """

    best: ProbeOutcome | None
    limited: bool
    probes: tuple[ProbeOutcome, ...]


def find_highest(goal: Goal, oracle: Callable[[Step], ProbeOutcome], foresight: Foretells) -> Found:
    """Search; what the oracle raises ends it."""
    return _Search(goal, oracle, foresight).go()


class _Search:
    """A search that goes on."""

    def __init__(
        self, goal: Goal, oracle: Callable[[Step], ProbeOutcome], foresight: Foretells
    ) -> None:
        self._goal = goal
        self._oracle = oracle
        self._foresight = foresight
        self._edge = goal.start
        self._probes: list[ProbeOutcome] = []

    def go(self) -> Found:
        """Probe after probe, until a run is confirmed or nothing is left to try."""
        step: Step | None = self._goal.step("short", self._goal.start)
        while step is not None and len(self._probes) < _MOST_PROBES:
            outcome = self._oracle(step)
            self._probes.append(outcome)
            self._edge = self._foresight.edge(self._probes)
            step = self._next(outcome)
        best = self._best
        limited = best is not None and best.rate >= rounded(self._goal.highest)
        return Found(best, limited, tuple(self._probes))

    @property
    def _best(self) -> ProbeOutcome | None:
        """The run that is confirmed so far."""
        return max((p for p in self._runs if p.valid), key=lambda p: p.rate, default=None)

    @property
    def _runs(self) -> list[ProbeOutcome]:
        return [probe for probe in self._probes if probe.kind == "whole"]

    def _next(self, last: ProbeOutcome) -> Step | None:
        """The probe to make now; None where the search is over."""
        goal, runs = self._goal, self._runs
        if last.rate <= rounded(goal.lowest) and not last.passes:
            return None
        if runs:
            spent = sum(run.answered / run.queries for run in runs)
            enough = _MOST_RUNS if self._best else 2 * _MOST_RUNS
            return self._confirming() if spent < enough else None
        if last.rate >= rounded(goal.highest) and last.passes:
            return goal.step("whole", goal.highest)
        near = goal.step("short", self._edge).rate
        off = abs(math.log(near / last.rate))
        if last.kind == "short" and off > _NEAR and len(self._probes) < _MOST_SHORT:
            return goal.step("short", near)
        longs = sum(probe.kind == "long" for probe in self._probes)
        if not longs or (off > goal.tolerance and longs < _MOST_LONG):
            return goal.step("long", near)
        return goal.step("whole", near * (1.0 - _MARGIN * goal.tolerance))

    def _confirming(self) -> Step | None:
        """The next run: a little below the edge; None once one is near enough."""
        goal, best, margin = self._goal, self._best, _MARGIN * self._goal.tolerance
        rate = self._edge * (1.0 - margin)
        if best is None:
            return self._back(rate)
        failed = [run.rate for run in self._runs if not run.valid]
        bound = min(failed, default=goal.highest)
        enough = best.rate * (1.0 + goal.tolerance)
        if bound <= enough or (self._edge <= enough and best.load > _NEAR_LOAD):
            return None
        if self._edge <= enough:  # so far below its limits a run does not show where the edge is
            above = [p.rate for p in self._probes if not p.passes and p.rate > best.rate]
            rate = math.sqrt(best.rate * min(above, default=goal.highest))
        return goal.step(
            "whole", max(min(rate, bound * (1.0 - margin)), best.rate * (1.0 + margin))
        )

    def _back(self, rate: float) -> Step | None:
        """The run after those that are not VALID, where none was: at `rate`, or so far below them
        as may be; None below the lowest rate.
        """
        goal = self._goal
        margin = _MARGIN * goal.tolerance
        last = min(self._runs, key=lambda run: run.rate)
        count = len(self._runs)
        if last.rate <= rounded(goal.lowest):
            return None
        proves = last.rate / (1.0 + _PROVES * goal.tolerance)
        if count > _TIMES_NEAR:
            # ever further: what makes runs INVALID may be more than the probes tell
            return goal.step("whole", min(rate, last.rate * (1.0 - margin * 2.0 ** (count - 1))))
        rate = min(rate, last.rate * (1.0 - margin) if count == 1 else proves)
        # A run that nearly passes ends in a burst, by which the engine seems slower than it is: a
        # rate further below than this would prove nothing.
        return goal.step("whole", max(rate, proves) if _is_near(last) else rate)


def _is_near(failed: ProbeOutcome) -> bool:
    """Whether a run that is not VALID was not far from it."""
    return failed.load < _NEAR_MISS or failed.answered >= _NEAR_END * failed.queries
