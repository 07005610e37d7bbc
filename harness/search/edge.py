"""Where the edge is by the loads of probes alone, for engines that no plan is known of.

The load of a probe (its p99 over the limit) grows with the rate, near 1 about as a power of it. The
edge is where a line through the probes, on logarithmic scales, has a load of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from harness.search.outcome import KINDS, ProbeOutcome

# The power that is expected, and how much it counts: as so many answers a tenth away in rate.
_STEEPNESS = 3.0
_EXPECTED = 500 * 0.1**2
_FLATTEST, _STEEPEST = 0.1, 12.0
_NEAR = 0.25  # in logarithms of the load: further from 1 a probe counts little
_LEAST_LOAD = 1e-3
_MOST_SHIFT = math.log(4.0)  # further than this nothing is foretold
_UP, _DOWN = 1.15, 0.85  # the steps towards rates that nothing is known of
_MARGIN = 0.15  # of a bracket, on a logarithmic scale


class ByPower:
    """See `Foretells`."""

    def edge(self, probes: Sequence[ProbeOutcome]) -> float:
        """See `Foretells.edge`: between a rate that passes and one that does not, and so far from
        both that a probe there narrows it; beyond all rates where none of one kind is known.
        """
        known = Edge()
        for probe in probes:
            known.add(probe)
        low, high, rate = known.low, known.high, known.rate
        if low is None:
            return min(rate, _DOWN * high.rate) if high else rate
        if high is None:
            return max(rate, _UP * low.rate)
        room = float((high.rate / low.rate) ** _MARGIN)
        return min(max(rate, low.rate * room), high.rate / room)


class Edge:
    """Probes, and those of them that are believed."""

    def __init__(self) -> None:
        self._points: list[ProbeOutcome] = []

    def add(self, new: ProbeOutcome) -> None:
        """One more. Of two that contradict each other the longer one is believed, and of two as
        long the later one.
        """
        self._points = [old for old in self._points if not _refutes(new, old)]
        if not any(_refutes(old, new) for old in self._points):
            self._points.append(new)

    @property
    def low(self) -> ProbeOutcome | None:
        """That of the highest rate that passes."""
        return max((p for p in self._points if p.passes), key=_rate, default=None)

    @property
    def high(self) -> ProbeOutcome | None:
        """That of the lowest rate that does not."""
        return min((p for p in self._points if not p.passes), key=_rate, default=None)

    @property
    def rate(self) -> float:
        """Where the edge is, as far as these tell."""
        weights = [_weight(point) for point in self._points]
        rates, loads = ([f(point) for point in self._points] for f in (_log_rate, _log_load))
        total = sum(weights)
        rate = sum(w * x for w, x in zip(weights, rates, strict=True)) / total
        load = sum(w * y for w, y in zip(weights, loads, strict=True)) / total
        spread = sum(w * (x - rate) ** 2 for w, x in zip(weights, rates, strict=True))
        common = sum(
            w * (x - rate) * (y - load) for w, x, y in zip(weights, rates, loads, strict=True)
        )
        steepness = (common + _EXPECTED * _STEEPNESS) / (spread + _EXPECTED)
        steepness = min(max(steepness, _FLATTEST), _STEEPEST)
        shift = min(max(-load / steepness, -_MOST_SHIFT), _MOST_SHIFT)
        return math.exp(rate + shift)


def _refutes(point: ProbeOutcome, other: ProbeOutcome) -> bool:
    """Whether a rate passes although a lower one does not, of which this is the longer probe."""
    if point.passes == other.passes or KINDS.index(point.kind) < KINDS.index(other.kind):
        return False
    return point.rate >= other.rate if point.passes else point.rate <= other.rate


def _weight(point: ProbeOutcome) -> float:
    """What a probe counts: by its answers, and the more the nearer it is to the edge."""
    return (point.answered + 1) * math.exp(-((_log_load(point) / _NEAR) ** 2)) + 1e-9


def _log_load(point: ProbeOutcome) -> float:
    return math.log(max(point.load, _LEAST_LOAD))


def _log_rate(point: ProbeOutcome) -> float:
    return math.log(point.rate)


def _rate(point: ProbeOutcome) -> float:
    return point.rate
