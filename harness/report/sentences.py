"""What the data tell of two candidates, in plain words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.report.comparison import Change
from harness.report.metrics import METRICS

if TYPE_CHECKING:
    from harness.rules.scenario import Scenario


def sentences_of(baseline: str, other: str, changes: Sequence[Change]) -> Iterator[str]:
    """A sentence for what counts in each scenario and one for ROUGE-1: the other beside the
    baseline, and whether the data can tell them apart at all.
    """
    for change in changes:
        if change.metric == "rouge1":
            yield _score(baseline, other, change)
        elif change.scenario is not None and change.metric in _counting(change.scenario):
            yield _speed(baseline, other, change)


def _counting(scenario: Scenario) -> tuple[str, ...]:
    """What an engine is judged by; at a given rate throughput is that rate."""
    if scenario.has_rate:
        return ("ttft_p99", "tpot_p99")
    return ("latency_p50",) if scenario.one_at_a_time else ("throughput",)


def _speed(baseline: str, other: str, change: Change) -> str:
    times = 1 + change.change
    title = "tokens/s" if change.metric == "throughput" else METRICS[change.metric].title
    what = f"{change.scenario} {title}"
    said = f"{other} has {times:.3f} times the {what} of {baseline}"
    left, right = change.counts
    if change.change_interval is None:
        if change.outcome == "equal":
            return f"{other} and {baseline} have the same {what}."
        return (
            f"{said}, but {left} and {right} tests say nothing of noise: repeat both "
            f"(--repeat 3, or better in turns) to learn whether that is a difference."
        )
    interval = change.change_interval.shifted(1.0)
    measured = f"95 % interval {interval.low:.3f} to {interval.high:.3f}, {left} and {right} tests"
    if change.outcome in ("better", "worse"):
        return f"{said} ({measured})."
    return (
        f"The data cannot tell {other} and {baseline} apart in {what}: {times:.3f} times "
        f"({measured})."
    )


def _score(baseline: str, other: str, change: Change) -> str:
    num = change.counts[0]
    if change.outcome == "equal":
        return f"{other} and {baseline} score the same in ROUGE-1 on each of {num} samples."
    said = f"{change.difference:+.2f} points"
    interval = change.difference_interval
    if interval is None:
        why = "too few of them differ" if change.outcome == "not told apart" else "they are too few"
        return (
            f"The data cannot tell {other} and {baseline} apart in ROUGE-1: {said} on {num} "
            f"samples, and {why}."
        )
    measured = f"95 % interval {interval.low:+.2f} to {interval.high:+.2f}, {num} samples"
    if change.outcome in ("better", "worse"):
        verb = "gains" if change.difference > 0 else "loses"
        return (
            f"{other} {verb} {abs(change.difference):.2f} points of ROUGE-1 against {baseline} "
            f"({measured})."
        )
    return f"The data cannot tell {other} and {baseline} apart in ROUGE-1: {said} ({measured})."
