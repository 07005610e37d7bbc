"""What cannot be compared though tests measured it: a scenario or a figure that a side has not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.report.comparison import Gap
from harness.report.metrics import TIMED, Metric

if TYPE_CHECKING:
    from harness.report.candidate import Candidate
    from harness.rules.scenario import Scenario


def gaps_of(baseline: Candidate, other: Candidate) -> Iterator[Gap]:
    """A gap for each figure of each scenario that any test of either side has, and that is not
    compared; an emulated side has no figures to miss.
    """
    if baseline.first.is_emulated or other.first.is_emulated:
        return
    for scenario in dict.fromkeys((*baseline.scenarios, *other.scenarios)):
        for metric in TIMED:
            ours, theirs = (values_of(each, scenario, metric) for each in (baseline, other))
            found = [value is not None for value in (*ours, *theirs)]
            if not any(found) or comparable(ours, theirs):
                continue
            sides = ((baseline, ours), (other, theirs))
            reasons = (_lack(each.label, scenario, values) for each, values in sides)
            yield Gap(
                metric=metric.name,
                scenario=scenario,
                lost=any(found[: len(ours)]),
                why=next(reason for reason in reasons if reason),
            )


def values_of(candidate: Candidate, scenario: Scenario, metric: Metric) -> list[float | None]:
    """The figure of each test of a scenario, as LoadGen gives it."""
    return [getattr(test, metric.field) for test in candidate.metrics(scenario)]


def comparable(ours: list[float | None], theirs: list[float | None]) -> bool:
    """Whether every test of both sides has the figure, and a change of it can be told: all are
    positive, or all are 0.
    """
    values = [*ours, *theirs]
    if not ours or not theirs or None in values:
        return False
    return not any(values) or all(value is not None and value > 0 for value in values)


def _lack(label: str, scenario: Scenario, values: list[float | None]) -> str:
    """Why there is nothing to compare on this side; "" where there is."""
    if not values:
        return f"{label} has no performance test of {scenario}"
    if missing := values.count(None):
        return f"{missing} of {len(values)} tests of {label} in {scenario} do not have it"
    if not all(values):
        return f"it is 0 in {values.count(0)} of {len(values)} tests of {label} in {scenario}"
    return ""
