"""Differences from the baseline with their 95 % intervals: where one crosses zero, the data cannot
tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.html.bars import MAX_BARS, Standing
from harness.report.html.cells import NOTHING, Cell, signed
from harness.report.html.charts import WIDTH, Chart, Spec, draw, values

_ROW_PX = 42


@dataclass(frozen=True, slots=True)
class Difference:
    """Of one candidate; an interval that is not known has None at both ends."""

    label: str
    value: float
    low: float | None
    high: float | None
    standing: Standing = "other"


def draw_differences(
    differences: Sequence[Difference], *, name: str, title: str, axis: str, baseline: str, unit: str
) -> Chart:
    """The chart; `unit` follows each number."""
    shown = differences[:MAX_BARS]
    left_out = len(differences) - len(shown)
    unknown = any(each.low is None for each in shown)
    said = [f"{each.label} {_shown(each.value, unit)}" for each in shown]
    return draw(
        _spec(shown, axis, unit),
        name=name,
        title=title,
        description=f"{axis}: {'; '.join(said)}.",
        columns=("candidate", axis, "95 % from", "to"),
        rows=[
            (Cell(each.label), *(_cell(v, unit) for v in (each.value, each.low, each.high)))
            for each in differences
        ],
        note=f"The vertical line is {baseline}. Where a 95 % interval crosses it, the data cannot "
        "tell the two apart."
        + (" Without an interval, too little was measured." if unknown else "")
        + (f" {left_out} more are in the table." if left_out else ""),
    )


def _cell(value: float | None, unit: str) -> Cell:
    return Cell(NOTHING) if value is None else Cell(_shown(value, unit), value)


def _shown(value: float, unit: str) -> str:
    return f"{signed(value, 1 if unit else 2)}{unit}"


def _spec(differences: Sequence[Difference], axis: str, unit: str) -> Spec:
    rows: list[Spec] = [
        {
            "label": each.label,
            "value": each.value,
            "low": each.low,
            "high": each.high,
            "shown": _shown(each.value, unit),
            "standing": each.standing,
        }
        for each in differences
    ]
    ends = [end for each in differences for end in (each.value, each.low, each.high, 0.0)]
    known = [end for end in ends if end is not None]
    room = (max(known) - min(known)) * 0.1 or 1.0
    domain = [min(known) - room, max(known) + room]
    x: Spec = {
        "type": "quantitative",
        "scale": {"domain": domain, "nice": False},
        "axis": {"title": axis, "tickCount": 5, "format": "+,~f"},
    }
    y: Spec = {"field": "label", "type": "nominal", "sort": None, "axis": None}
    colour: Spec = {
        "field": "standing",
        "type": "nominal",
        "scale": {
            "domain": ["recommended", "baseline", "other"],
            "range": ["var(--accent)", "var(--neutral)", "var(--ink)"],
        },
        "legend": None,
    }
    name_mark: Spec = {"type": "text", "align": "left", "dy": -13, "x": 0, "limit": WIDTH - 90}
    value_mark: Spec = {"type": "text", "align": "right", "dy": -13, "x": "width"}
    return {
        "data": values(rows),
        "height": _ROW_PX * len(rows) + 50,
        "encoding": {"y": y},
        "layer": [
            {
                "data": values([{"zero": 0}]),
                "mark": {"type": "rule", "stroke": "var(--neutral)", "strokeWidth": 1.5},
                "encoding": {"x": {"field": "zero", **x}, "y": None},
            },
            {
                "transform": [{"filter": "datum.low != null"}],
                "mark": {"type": "rule", "strokeWidth": 2.5, "yOffset": 4},
                "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}, "color": colour},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1, "yOffset": 4},
                "encoding": {"x": {"field": "value", **x}, "color": colour},
            },
            {"mark": name_mark, "encoding": {"text": {"field": "label"}}},
            {"mark": value_mark, "encoding": {"text": {"field": "shown"}}},
        ],
    }
