"""How each candidate came out beside the baseline: what the page's verdicts are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.statistics import Interval

if TYPE_CHECKING:
    from harness.report.comparison import CandidateSummary, Change, Comparison, Figure, Pair
    from harness.rules.scenario import Scenario

KEPT = 0.99
"""The share of the baseline's ROUGE-1 that a candidate must keep to be recommended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One candidate, and what it is beside the baseline: `pair` is None for that itself. `scenario`
    is the one whose speeds are compared, None where no speed was measured. Where one of the two
    `is_pretended`, the other not, neither speeds nor scores are held against each other.
    """

    summary: CandidateSummary
    pair: Pair | None
    scenario: Scenario | None
    on_front: bool
    is_pretended: bool = False

    @property
    def label(self) -> str:
        return self.summary.label

    @property
    def is_baseline(self) -> bool:
        return self.pair is None

    @property
    def speed(self) -> Figure | None:
        """Output tokens/s; None where it was not measured, or is a time model's."""
        if self.scenario is None or self.summary.simulated:
            return None
        return self.summary.figure("throughput", self.scenario)

    @property
    def speed_change(self) -> Change | None:
        """Its speed beside the baseline's."""
        return self._beside.change("throughput", self.scenario) if self._beside else None

    @property
    def speed_up(self) -> float | None:
        """How many times the baseline's speed."""
        return 1 + self.speed_change.change if self.speed_change else None

    @property
    def speed_up_interval(self) -> Interval | None:
        """Where that truly lies; None where there is one test only."""
        change = self.speed_change
        if change is None or change.change_interval is None:
            return None
        interval = change.change_interval
        return Interval(low=1 + interval.low, high=1 + interval.high)

    @property
    def rouge1(self) -> Figure | None:
        """In percent, over all that it answered."""
        return self.summary.figure("rouge1")

    @property
    def score(self) -> float | None:
        """ROUGE-1 on the samples that are held against the baseline's, or else on all."""
        if self.rouge1_change is not None:
            return self.rouge1_change.other
        return None if self.rouge1 is None else self.rouge1.value

    @property
    def rouge1_change(self) -> Change | None:
        """Its ROUGE-1 beside the baseline's."""
        return self._beside.change("rouge1") if self._beside else None

    @property
    def keeps_accuracy(self) -> bool | None:
        """Whether it scores at least 99 % of the baseline; None is not known."""
        gates = self._beside.gates if self._beside else ()
        found = (g.passed for g in gates if (g.metric, g.level) == ("rouge1", KEPT))
        return next(found, None)

    @property
    def _beside(self) -> Pair | None:
        return None if self.is_pretended else self.pair


def outcomes_of(comparison: Comparison, scenario: Scenario | None) -> tuple[Outcome, ...]:
    """Those of all candidates, the baseline's first."""
    pairs = {pair.other: pair for pair in comparison.pairs}
    front = comparison.pareto.front
    pretended = comparison.candidates[0].simulated
    return tuple(
        Outcome(
            each,
            pairs.get(each.label),
            scenario,
            each.label in front,
            is_pretended=each.simulated != pretended,
        )
        for each in comparison.candidates
    )


def compared_scenario(comparison: Comparison, scenarios: Sequence[Scenario]) -> Scenario | None:
    """The scenario whose throughput tells most of an engine: one in which it works as fast as it
    can, before one in which the rate was given. One that the baseline and another candidate have
    comes before any that leaves nothing to compare.
    """
    baseline, *others = comparison.candidates
    alike = [each for each in others if each.simulated == baseline.simulated]
    shared = [s for s in scenarios if _has(baseline, s) and any(_has(each, s) for each in alike)]
    there = [s for s in scenarios if any(_has(each, s) for each in comparison.candidates)]
    return min(shared or there, key=_told_by_rate, default=None)


def _has(candidate: CandidateSummary, scenario: Scenario) -> bool:
    return candidate.figure("throughput", scenario) is not None


def _told_by_rate(scenario: Scenario) -> tuple[bool, bool, str]:
    return scenario.has_rate, not scenario.all_at_once, scenario
