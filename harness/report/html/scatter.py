"""The Pareto plot: what each candidate gains in speed, and what it keeps in accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.report.html.bars import Standing
from harness.report.html.cells import Cell, number
from harness.report.html.charts import ABOVE, Chart, Spec, draw, values

MAX_LABELS = 10


@dataclass(frozen=True, slots=True)
class Point:
    """A candidate: output tokens/s, ROUGE-1 in percent, MB of memory or None. `on_front` is
    whether no other is at least as good in all of them.
    """

    label: str
    tokens_per_s: float
    rouge1: float
    memory_mb: float | None
    on_front: bool
    standing: Standing = "other"


def draw_scatter(points: Sequence[Point], *, name: str, title: str) -> Chart:
    """The chart."""
    front = [point for point in points if point.on_front]
    sized = any(point.memory_mb is not None for point in points)
    return draw(
        _spec(points, sized),
        name=name,
        title=title,
        description="ROUGE-1 against output tokens per second, a point for each candidate. On the "
        f"Pareto front: {', '.join(point.label for point in front)}.",
        columns=("candidate", "tokens/s", "ROUGE-1", "memory, MB", "on the front"),
        rows=[
            (
                Cell(point.label),
                number(point.tokens_per_s),
                Cell(f"{point.rouge1:.2f}", point.rouge1),
                number(point.memory_mb),
                Cell("yes" if point.on_front else "no"),
            )
            for point in points
        ],
        note="Right is faster, up is more accurate. Filled points are on the Pareto front: nothing "
        "beats them in speed, accuracy and memory at once."
        + (" A larger point takes more memory." if sized else ""),
    )


def _spec(points: Sequence[Point], sized: bool) -> Spec:
    named = {point.label for point in sorted(points, key=_worth_a_name)[:MAX_LABELS]}
    rows: list[Spec] = [
        {
            "label": point.label if point.label in named else "",
            "speed": point.tokens_per_s,
            "rouge1": point.rouge1,
            "memory": point.memory_mb or 0,
            "fill": "front" if point.on_front else "behind",
        }
        for point in points
    ]
    speeds = [point.tokens_per_s for point in points]
    room = (max(speeds) - min(speeds)) * 0.15 or max(speeds) * 0.1
    x: Spec = {
        "field": "speed",
        "type": "quantitative",
        "scale": {"domain": [max(0, min(speeds) - room), max(speeds) + room], "nice": True},
        "axis": {"title": "output tokens/s", "tickCount": 5, "format": ",~f"},
    }
    scores = [point.rouge1 for point in points]
    height = max(max(scores) - min(scores), 0.5)
    y: Spec = {
        "field": "rouge1",
        "type": "quantitative",
        "scale": {"domain": [min(scores) - height * 0.2, max(scores) + height * 0.25]},
        "axis": {"title": "ROUGE-1", "tickCount": 5, **ABOVE},
    }
    point_mark: Spec = {"type": "point", "shape": "circle", "strokeWidth": 2, "opacity": 1}
    dots: Spec = {
        "mark": point_mark,
        "encoding": {
            "x": x,
            "y": y,
            "stroke": {"value": "var(--accent)"},
            "fill": {
                "field": "fill",
                "type": "nominal",
                "scale": {"domain": ["front", "behind"], "range": ["var(--accent)", "var(--page)"]},
                "legend": None,
            },
            **({"size": _size()} if sized else {"size": {"value": 120}}),
        },
    }
    labels: Spec = {
        "mark": {"type": "text", "dy": -16, "limit": 150},
        "encoding": {"x": x, "y": y, "text": {"field": "label"}},
    }
    return {"data": values(rows), "height": 300, "layer": [dots, labels]}


def _size() -> Spec:
    return {
        "field": "memory",
        "type": "quantitative",
        "scale": {"range": [60, 420], "zero": True},
        "legend": None,
    }


def _worth_a_name(point: Point) -> tuple[bool, bool, float]:
    return (not point.on_front, point.standing == "other", -point.tokens_per_s)
