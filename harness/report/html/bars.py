"""Bars with intervals: one figure of each candidate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from harness.report.html.cells import Cell, figure, number
from harness.report.html.charts import WIDTH, Chart, Spec, draw, values

Standing: TypeAlias = Literal["recommended", "baseline", "other"]

MAX_BARS = 16
"""What can be read in one chart; the table has all."""

_ROW_PX = 44
_COLOURS = {
    "recommended": "var(--accent)",
    "baseline": "var(--neutral)",
    "other": "var(--bar)",
}


@dataclass(frozen=True, slots=True)
class Bar:
    """One candidate's figure; `low` and `high` bound it where it was measured more than once."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    standing: Standing = "other"


def draw_bars(
    bars: Sequence[Bar],
    *,
    name: str,
    title: str,
    axis: str,
    interval: str,
    limit: float | None = None,
) -> Chart:
    """The chart; `axis` says what is measured, with its unit, and `interval` what the lines are.
    `limit` is a value that must not be passed; one far off is only told of.
    """
    shown = bars[:MAX_BARS]
    near = limit is not None and limit <= 2 * max(bar.high or bar.value for bar in shown)
    left_out = len(bars) - len(shown)
    return draw(
        _spec(shown, axis, limit if near else None),
        name=name,
        title=title,
        description=_described(shown, axis),
        columns=("candidate", axis, "from", "to"),
        rows=[
            (Cell(bar.label), number(bar.value), number(bar.low), number(bar.high)) for bar in bars
        ],
        note=" ".join(
            part
            for part in (
                interval if any(bar.low is not None for bar in bars) else "",
                _limit_note(limit, near),
                f"{left_out} more are in the table." if left_out else "",
            )
            if part
        ),
    )


def _limit_note(limit: float | None, near: bool) -> str:
    if limit is None:
        return ""
    where = "the dashed line" if near else "far to the right, outside"
    return f"The limit, {figure(limit)} ms, is {where}."


def _described(bars: Sequence[Bar], axis: str) -> str:
    return f"{axis}: " + "; ".join(f"{bar.label} {figure(bar.value)}" for bar in bars) + "."


def _spec(bars: Sequence[Bar], axis: str, limit: float | None) -> Spec:
    rows: list[Spec] = [
        {
            "label": bar.label,
            "value": bar.value,
            "low": bar.low,
            "high": bar.high,
            "end": max(bar.value, bar.high or bar.value),
            "standing": bar.standing,
            "shown": figure(bar.value),
        }
        for bar in bars
    ]
    y: Spec = {"field": "label", "type": "nominal", "sort": None, "axis": None}
    most = max([bar.high or bar.value for bar in bars] + ([limit] if limit is not None else []))
    x: Spec = {
        "type": "quantitative",
        "scale": {"domain": [0, most * 1.18], "nice": False},
        "axis": {"title": axis, "tickCount": 4, "format": "~s" if most >= 1e4 else ",~f"},
    }
    colour = {
        "field": "standing",
        "type": "nominal",
        "scale": {"domain": list(_COLOURS), "range": list(_COLOURS.values())},
        "legend": None,
    }
    layers: list[Spec] = [
        {
            "mark": {"type": "bar", "height": 15, "yOffset": 6},
            "encoding": {"x": {"field": "value", **x}, "color": colour},
        },
        {
            "transform": [{"filter": "datum.low != null"}],
            "mark": {"type": "rule", "stroke": "var(--ink)", "strokeWidth": 1.5, "yOffset": 6},
            "encoding": {"x": {"field": "low", **x}, "x2": {"field": "high"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dx": 6, "yOffset": 6},
            "encoding": {"x": {"field": "end", **x}, "text": {"field": "shown"}},
        },
        {
            "mark": {"type": "text", "align": "left", "dy": -12, "x": 0, "limit": WIDTH - 20},
            "encoding": {"text": {"field": "label"}},
        },
    ]
    if limit is not None:
        layers.append(
            {
                "data": values([{"limit": limit}]),
                "mark": {"type": "rule", "stroke": "var(--limit)", "strokeDash": [4, 3]},
                "encoding": {"x": {"field": "limit", **x}, "y": None},
            }
        )
    return {
        "data": values(rows),
        "height": _ROW_PX * len(rows) + 50,
        "encoding": {"y": y},
        "layer": layers,
    }
