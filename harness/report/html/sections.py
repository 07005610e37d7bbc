"""The sections of charts: what is faster and what it costs, who waits how long, and how each run
went.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.html.bars import Bar, Standing, draw_bars
from harness.report.html.distributions import draw_distributions
from harness.report.html.forest import Difference, draw_differences
from harness.report.html.page import Group
from harness.report.html.scatter import Point, draw_scatter
from harness.report.html.timelines import draw_timeline, read_moments
from harness.report.metrics import METRICS

if TYPE_CHECKING:
    from harness.report.candidate import Candidate
    from harness.report.html.charts import Chart
    from harness.report.html.outcome import Outcome
    from harness.report.statistics import Interval
    from harness.rules.scenario import Scenario

MAX_TIMELINES = 12
_ALL_MOMENTS = 1200
_MOST_MOMENTS = 120


def make_groups(
    outcomes: Sequence[Outcome],
    candidates: Sequence[Candidate],
    chosen: str | None,
) -> tuple[Group, ...]:
    """Those that have anything to show; `chosen` is the label of what is recommended."""
    standings = {each.label: _standing(each, chosen) for each in outcomes}
    groups = (
        Group(
            "speed",
            "Speed and accuracy",
            "What each candidate gains, and what it costs.",
            tuple(_trade(outcomes, standings)),
        ),
        Group(
            "waiting",
            "How long users wait",
            "Every answer's time to its first token, and time for each token after that. Lower, "
            "and further left, is better.",
            tuple(_waiting(candidates, outcomes, standings)),
        ),
        Group(
            "timelines",
            "As the tests ran",
            "The first test of each candidate in each scenario, as its engine reported it. The "
            "areas are averages over short stretches.",
            tuple(_timelines(candidates)),
        ),
    )
    return tuple(group for group in groups if group.charts)


def _standing(outcome: Outcome, chosen: str | None) -> Standing:
    if outcome.label == chosen:
        return "recommended"
    return "baseline" if outcome.is_baseline else "other"


def _trade(outcomes: Sequence[Outcome], standings: dict[str, Standing]) -> Iterator[Chart]:
    scenario, baseline = outcomes[0].scenario, outcomes[0].label
    points = [
        Point(
            label=each.label,
            tokens_per_s=each.speed.value,
            rouge1=each.rouge1.value,
            memory_mb=memory.value if (memory := each.summary.figure("memory")) else None,
            on_front=each.on_front,
            standing=standings[each.label],
        )
        for each in outcomes
        if each.speed is not None and each.rouge1 is not None
    ]
    if len(points) > 1:
        yield draw_scatter(points, name="pareto", title="Speed against accuracy")
    if scenario is not None:
        yield from _bars(
            outcomes, standings, Shown("throughput", scenario, f"Throughput, {scenario}")
        )
    faster = [
        Difference(each.label, each.speed_change.change * 100, *ends, standings[each.label])
        for each in outcomes
        if each.speed_change is not None
        for ends in [_ends(each.speed_change.change_interval, 100)]
    ]
    if faster:
        yield draw_differences(
            faster,
            name="speed-change",
            title=f"Throughput beside {baseline}, {scenario}",
            axis="change of tokens/s, %",
            baseline=baseline,
            unit=" %",
        )
    scores = [
        Difference(each.label, each.rouge1_change.difference, *ends, standings[each.label])
        for each in outcomes
        if each.rouge1_change is not None
        for ends in [_ends(each.rouge1_change.difference_interval)]
    ]
    if scores:
        yield draw_differences(
            scores,
            name="rouge1-change",
            title=f"Accuracy beside {baseline}",
            axis="difference of ROUGE-1, points",
            baseline=baseline,
            unit="",
        )


def _ends(interval: Interval | None, factor: float = 1.0) -> tuple[float | None, float | None]:
    if interval is None:
        return None, None
    return interval.low * factor, interval.high * factor


def _waiting(
    candidates: Sequence[Candidate],
    outcomes: Sequence[Outcome],
    standings: dict[str, Standing],
) -> Iterator[Chart]:
    for scenario in dict.fromkeys(each for one in candidates for each in one.scenarios):
        there = [each for each in candidates if each.metrics(scenario)]
        if not there or not scenario.has_first_tokens:
            continue
        yield from draw_distributions(there, scenario)
        rules = there[0].scenarios[scenario][0].record.workload.rules_of(scenario)
        for name, title, limit_ms in (
            ("ttft_p99", "TTFT p99", rules.ttft_ms),
            ("tpot_p99", "TPOT p99", rules.tpot_ms),
        ):
            yield from _bars(
                outcomes, standings, Shown(name, scenario, f"{title}, {scenario}", limit_ms)
            )


@dataclass(frozen=True, slots=True)
class Shown:
    """Which metric of a scenario bars are of."""

    metric: str
    scenario: Scenario
    title: str
    limit: float | None = None


def _bars(
    outcomes: Sequence[Outcome], standings: dict[str, Standing], shown: Shown
) -> Iterator[Chart]:
    """One figure of each candidate, from the lowest to the highest of its tests."""
    bars = [
        Bar(
            each.label,
            figure.value,
            min(figure.values) if len(figure.values) > 1 else None,
            max(figure.values) if len(figure.values) > 1 else None,
            standings[each.label],
        )
        for each in outcomes
        if (figure := each.summary.figure(shown.metric, shown.scenario)) is not None
    ]
    if len(bars) > 1:
        yield draw_bars(
            bars,
            name=f"{shown.scenario.lower()}-{shown.metric.replace('_', '-')}",
            title=shown.title,
            axis=METRICS[shown.metric].unit,
            interval="Means of several tests; lines go from the lowest to the highest of them.",
            limit=shown.limit,
        )


def _timelines(candidates: Sequence[Candidate]) -> Iterator[Chart]:
    """Of the first run of each candidate in each scenario."""
    measured = [
        (candidate, next(run for run in runs if run.metrics))
        for candidate in candidates
        for runs in candidate.scenarios.values()
        if any(run.metrics for run in runs)
    ][:MAX_TIMELINES]
    num_moments = min(_MOST_MOMENTS, _ALL_MOMENTS // max(len(measured), 1))
    for number, (candidate, run) in enumerate(measured, start=1):
        moments = read_moments(run.run.folder, num_moments)
        if len(moments) > 1:
            yield draw_timeline(
                moments, name=f"timeline-{number}", title=f"{candidate.label}, {run.scenario}"
            )
