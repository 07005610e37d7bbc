"""How TTFT and TPOT of a scenario are distributed over the answers, beside their limits.

The curves are of the times that each test kept of every answer; the percentiles in the table are
LoadGen's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from harness.loadgen.given import GivenAnswers
from harness.report.html.cells import Cell, milliseconds
from harness.report.html.charts import (
    MAX_SERIES,
    WIDTH,
    Chart,
    Spec,
    draw,
    series_colours,
    series_dashes,
    values,
)

if TYPE_CHECKING:
    from harness.loadgen.metrics import Metrics
    from harness.report.candidate import Candidate
    from harness.report.result import Result
    from harness.rules.scenario import Scenario

NUM_POINTS = 60
"""Of a curve."""


@dataclass(frozen=True, slots=True)
class Waits:
    """What one candidate's users waited for: its curve, as (ms, share of answers), and LoadGen's
    figures of the same test.
    """

    label: str
    curve: tuple[tuple[float, float], ...]
    metrics: Metrics


@dataclass(frozen=True, slots=True)
class Measure:
    """Which of the two times, and its limit in ms."""

    field: str
    title: str
    limit_ms: float | None


def draw_distributions(candidates: Sequence[Candidate], scenario: Scenario) -> list[Chart]:
    """Charts of TTFT and of TPOT; none where nobody waits for a first token, or none was kept."""
    if not scenario.has_first_tokens:
        return []
    runs = [(each.label, each.scenarios[scenario][0]) for each in candidates]
    rules = runs[0][1].record.workload.rules_of(scenario)
    measures = (
        Measure("ttft", "Time to first token", rules.ttft_ms),
        Measure("tpot", "Time per output token", rules.tpot_ms),
    )
    charts = []
    for measure in measures:
        waits = [found for label, run in runs if (found := _waits(label, run, measure.field))]
        if waits:
            charts.append(_draw(waits, measure, scenario))
    return charts


def _waits(label: str, run: Result, field: str) -> Waits | None:
    """Of a run's own performance test; None where no times were kept of it."""
    if not run.metrics:
        return None
    try:
        given = GivenAnswers.load(run.run.folder.test("performance").given)
    except RunFailed:  # an executor of another process keeps none
        return None
    times_s = given.ttft_s
    if field == "tpot":
        several = given.lengths > 1
        times_s = (given.latency_s - given.ttft_s)[several] / (given.lengths[several] - 1)
    if not len(times_s):
        return None
    return Waits(label, _curve((times_s * 1e3).tolist()), run.metrics[0])


def _curve(times_ms: list[float]) -> tuple[tuple[float, float], ...]:
    """(time, share of the answers that had waited no longer), at the two ends and in between."""
    ordered, last = sorted(times_ms), len(times_ms) - 1
    places = dict.fromkeys(round(last * step / NUM_POINTS) for step in range(NUM_POINTS + 1))
    return tuple((ordered[place], (place + 1) / len(ordered)) for place in places)


def _draw(waits: Sequence[Waits], measure: Measure, scenario: Scenario) -> Chart:
    shown = waits[:MAX_SERIES]
    columns = ["candidate", "p50, ms", "p90, ms", "p99, ms"]
    rows = [
        [
            Cell(each.label),
            *(
                milliseconds(getattr(each.metrics, name), name=name)
                for name in (f"{measure.field}_p{percent}_s" for percent in (50, 90, 99))
            ),
        ]
        for each in waits
    ]
    if measure.limit_ms is not None:
        rows.append([Cell("limit"), Cell(""), Cell(""), milliseconds(measure.limit_ms / 1e3)])
    return draw(
        _spec(shown, measure),
        name=f"{scenario.lower()}-{measure.field}",
        title=f"{measure.title}, {scenario}",
        description=f"The share of answers against {measure.title.lower()} in milliseconds, "
        f"a line for each of {', '.join(each.label for each in shown)}.",
        columns=columns,
        rows=rows,
        note=_note(waits, measure),
    )


def _note(waits: Sequence[Waits], measure: Measure) -> str:
    """Where the limit is, and what was left out."""
    slowest_ms = max(time_ms for each in waits for time_ms, _ in each.curve)
    said = ["Up: the share of answers that had waited no longer."]
    if measure.limit_ms is not None:
        far = measure.limit_ms > 3 * slowest_ms
        where = "far to the right, outside" if far else "the vertical line"
        said.append(f"The limit of p99, {measure.limit_ms:g} ms, is {where}.")
    if left_out := len(waits) - MAX_SERIES:
        said.append(f"{left_out} more are in the table." if left_out > 0 else "")
    return " ".join(filter(None, said))


def _spec(waits: Sequence[Waits], measure: Measure) -> Spec:
    rows: list[Spec] = [
        {"label": each.label, "ms": time_ms, "share": share}
        for each in waits
        for time_ms, share in each.curve
    ]
    labels = [each.label for each in waits]
    legend: Spec | None = {} if len(labels) > 1 else None
    slowest_ms = max(time_ms for each in waits for time_ms, _ in each.curve)
    x: Spec = {
        "type": "quantitative",
        "scale": {"zero": True},
        "axis": {"title": f"{measure.title}, ms", "tickCount": 5, "format": ",~f"},
    }
    percent: Spec = {"format": "%", "values": [0, 0.5, 0.9, 0.99], "title": None}
    layers: list[Spec] = [
        {
            "mark": {"type": "line", "interpolate": "step-after", "strokeWidth": 2},
            "encoding": {
                "x": {"field": "ms", **x},
                "y": {"field": "share", "type": "quantitative", "axis": percent},
                "color": {
                    "field": "label",
                    "type": "nominal",
                    "scale": series_colours(labels),
                    "legend": legend,
                },
                "strokeDash": {
                    "field": "label",
                    "type": "nominal",
                    "scale": series_dashes(labels),
                    "legend": legend,
                },
            },
        }
    ]
    if measure.limit_ms is not None and measure.limit_ms <= 3 * slowest_ms:
        layers.append(
            {
                "data": values([{"limit": measure.limit_ms}]),
                "mark": {"type": "rule", "stroke": "var(--limit)", "strokeWidth": 1.5},
                "encoding": {"x": {"field": "limit", **x}},
            }
        )
    return {"width": WIDTH, "height": 240, "data": values(rows), "layer": layers}
