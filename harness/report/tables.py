"""A comparison as tables of text, for a terminal and for Markdown alike."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.validation import shortened
from harness.report.metrics import METRICS, ROUGE

if TYPE_CHECKING:
    from pydantic import JsonValue

    from harness.report.comparison import CandidateSummary, Change, Comparison, GateLevel, Pair
    from harness.report.statistics import Interval
    from harness.rules.scenario import Scenario

_NOTHING = "-"
_LATENCIES = ("ttft", "tpot", "latency")


@dataclass(frozen=True, slots=True)
class Table:
    """Rows below headings; the first column names the row."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def tables_of(comparison: Comparison) -> Iterator[Table]:
    """Speed by scenario, scores, what each takes, and the settings that differ."""
    scenarios = dict.fromkeys(
        figure.scenario
        for candidate in comparison.candidates
        for figure in candidate.figures
        if figure.scenario is not None
    )
    for scenario in scenarios:
        yield _speed(comparison, scenario)
    if any(candidate.figure("rouge1") for candidate in comparison.candidates):
        yield _scores(comparison)
    yield _costs(comparison)
    if any(pair.settings for pair in comparison.pairs):
        yield _settings(comparison)


def _speed(comparison: Comparison, scenario: Scenario) -> Table:
    rows = []
    for candidate, pair in _pairs(comparison):
        figure = candidate.figure("throughput", scenario)
        change = pair.change("throughput", scenario) if pair else None
        rows.append(
            (
                candidate.label,
                _NOTHING if figure is None else str(len(figure.values)),
                _NOTHING if figure is None else f"{figure.value:,.1f}",
                _times(change, is_baseline=pair is None),
                _of_limit(candidate, scenario),
                *(_latency(candidate, pair, name, scenario) for name in _LATENCIES),
            )
        )
    speeds = ("candidate", "tests", "tokens/s", "x baseline", "of limit")
    columns = (*speeds, "TTFT ms", "TPOT ms", "latency ms")
    return _without_empty(
        Table(
            f"{scenario}: means over the tests, [95 % interval]; latencies are p50/p99, and the "
            f"change of p99",
            columns,
            tuple(rows),
        )
    )


def _of_limit(candidate: CandidateSummary, scenario: Scenario) -> str:
    share = candidate.of_limit.get(scenario)
    return _NOTHING if share is None else f"{share:.0%}"


def _latency(candidate: CandidateSummary, pair: Pair | None, name: str, scenario: Scenario) -> str:
    p50, p99 = (candidate.figure(f"{name}_{at}", scenario) for at in ("p50", "p99"))
    if p50 is None or p99 is None:
        return _NOTHING
    shown = f"{_ms(p50.value)}/{_ms(p99.value)}"
    change = pair.change(f"{name}_p99", scenario) if pair else None
    if change is None:
        return shown
    return f"{shown} {change.change * 100:+.1f} %{_bounds(change.change_interval, 100, 1)}"


def _scores(comparison: Comparison) -> Table:
    rows = []
    for candidate, pair in _pairs(comparison):
        changes = [pair.change(metric.name) if pair else None for metric in ROUGE]
        cells = [
            _score(candidate, metric.name, change)
            for metric, change in zip(ROUGE, changes, strict=True)
        ]
        levels = [gates_told(pair.gates, level) if pair else _NOTHING for level in (0.99, 0.999)]
        reference = [gates_told(candidate.gates, level) for level in (0.99, 0.999)]
        rows.append((candidate.label, *cells, *levels, *reference))
    columns = ("candidate", *(metric.title for metric in ROUGE), "99 % of baseline")
    columns = (*columns, "99.9 % of baseline", "99 % of reference", "99.9 % of reference")
    title = "ROUGE: points, and the difference [95 % interval]"
    if comparison.in_common:
        title += "; beside a difference, points on the samples in common"
    return _without_empty(Table(title, columns, tuple(rows)))


def _score(candidate: CandidateSummary, metric: str, change: Change | None) -> str:
    figure = candidate.figure(metric)
    if figure is None:
        return _NOTHING
    if change is None:
        return f"{figure.value:.2f}"
    return f"{change.other:.2f} {change.difference:+.2f}{_bounds(change.difference_interval, 1, 2)}"


def gates_told(gates: Sequence[GateLevel], level: float) -> str:
    """Whether all metrics keep this share: "kept", or which do not; "?" where the interval does not
    agree.
    """
    found = [gate for gate in gates if gate.level == level]
    if not found:
        return _NOTHING
    missed = [METRICS[gate.metric].title for gate in found if not gate.passed]
    doubt = " ?" if any(gate.certain is False for gate in found) else ""
    return (f"missed: {', '.join(missed)}" if missed else "kept") + doubt


def _costs(comparison: Comparison) -> Table:
    points = {point.label: point for point in comparison.pareto.points}
    rows = []
    for candidate, pair in _pairs(comparison):
        point = points.get(candidate.label)
        if point is None:
            front = _NOTHING
        else:
            front = f"behind {point.dominated_by}" if point.dominated_by else "on the front"
        cells = [_cost(candidate, pair, name) for name in ("size", "memory")]
        rows.append((candidate.label, *cells, front, ", ".join(candidate.marks) or _NOTHING))
    axes = ", ".join(comparison.pareto.axes) or "nothing that all have"
    columns = ("candidate", "engine MB", "peak memory MB", "Pareto front", "marks")
    return _without_empty(Table(f"Pareto front by {axes}", columns, tuple(rows)))


def _cost(candidate: CandidateSummary, pair: Pair | None, name: str) -> str:
    figure = candidate.figure(name)
    if figure is None:
        return _NOTHING
    change = pair.change(name) if pair else None
    more = "" if change is None else f" {change.change * 100:+.1f} %"
    return f"{figure.value:,.1f}{more}"


def _settings(comparison: Comparison) -> Table:
    """A row for each field in which any differs from the baseline."""
    baseline: dict[str, JsonValue] = {}
    for pair in comparison.pairs:
        baseline.update({setting.field: setting.baseline for setting in pair.settings})
    others = [{s.field: s.other for s in pair.settings} for pair in comparison.pairs]
    labels = [candidate.label for candidate in comparison.candidates]
    rows = tuple(
        (field, _value(value), *(_value(each.get(field, value)) for each in others))
        for field, value in sorted(baseline.items())
    )
    return Table("What differs", ("field", *labels), rows)


def _pairs(comparison: Comparison) -> Iterator[tuple[CandidateSummary, Pair | None]]:
    """Each candidate with its pair; the baseline has none."""
    first, *others = comparison.candidates
    yield first, None
    yield from zip(others, comparison.pairs, strict=True)


def _times(change: Change | None, *, is_baseline: bool) -> str:
    if change is None:
        return "1" if is_baseline else _NOTHING
    interval = change.change_interval
    bounds = "" if interval is None else _bounds(interval.shifted(1.0), 1, 3)
    return f"{1 + change.change:.3f}{bounds}"


def _bounds(interval: Interval | None, factor: float, digits: int) -> str:
    if interval is None:
        return ""
    low, high = (f"{value * factor:.{digits}f}" for value in (interval.low, interval.high))
    return f" [{low}, {high}]"


def _ms(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _value(value: JsonValue) -> str:
    return shortened("null" if value is None else str(value))


def _without_empty(table: Table) -> Table:
    """The table without columns in which nobody has anything."""
    kept = [
        index
        for index in range(len(table.columns))
        if index == 0 or any(row[index] != _NOTHING for row in table.rows)
    ]
    return Table(
        table.title,
        tuple(table.columns[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in table.rows),
    )
