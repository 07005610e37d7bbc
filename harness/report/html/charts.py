"""Charts: what each shows is a Vega-Lite specification, which its library draws ahead of time.

Colours are variables of the page's style sheet, so that a chart is dark where the page is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from harness.report.html.cells import Cell
from harness.report.html.svg import cleaned
from harness.streams import printable

Spec: TypeAlias = "dict[str, object]"
"""A Vega-Lite specification, or a part of one."""

WIDTH = 440
"""Of a whole drawing, in pixels; the page makes it as wide as there is room."""

MAX_SERIES = 6
"""Lines that can be told apart in one chart."""

ABOVE: Spec = {"titleAngle": 0, "titleAlign": "left", "titleX": 0, "titleY": -10}
"""Of a vertical axis: its title stands above it, where no label is in its way."""

_SCHEMA = "https://vega.github.io/schema/vega-lite/v5.json"  # a name: nothing is fetched
_CONFIG: Spec = {
    "background": None,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--soft)",
        "labelFontSize": 12,
        "labelLimit": 150,
        "titleColor": "var(--soft)",
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": "var(--line)",
        "domain": False,
        "ticks": False,
        "labelPadding": 6,
        "labelFlush": False,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "labelFontSize": 12,
        "labelLimit": 180,
        "title": None,
        "orient": "bottom",
        "columns": 2,
        "symbolStrokeWidth": 2.5,
        "symbolSize": 220,
    },
    "text": {"fill": "var(--ink)", "fontSize": 12},
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart, and the same numbers as a table. `svg` is safe to stand in a page."""

    name: str
    title: str
    description: str
    svg: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def draw(
    spec: Spec,
    *,
    name: str,
    title: str,
    description: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    note: str = "",
) -> Chart:
    """The chart of a specification that has its data in it."""
    import vl_convert  # lazily: it is a large library

    whole = {
        "$schema": _SCHEMA,
        "width": WIDTH,
        "autosize": {"type": "fit", "contains": "padding"},
        "config": _CONFIG,
        **spec,
    }
    svg = vl_convert.vegalite_to_svg(json.dumps(whole, allow_nan=False))
    return Chart(
        name=name,
        title=title,
        description=description,
        svg=cleaned(svg, name, printable(title), printable(description)),
        columns=tuple(columns),
        rows=tuple(tuple(row) for row in rows),
        note=note,
    )


def values(rows: Sequence[Spec]) -> Spec:
    """The data of a specification; what could not be shown is written out."""
    shown = [
        {name: printable(value) if isinstance(value, str) else value for name, value in row.items()}
        for row in rows
    ]
    return {"values": shown}


def series_colours(labels: Sequence[str]) -> Spec:
    """The scale of the colours of lines, by their labels."""
    colours = [f"var(--series-{number})" for number in range(1, len(labels) + 1)]
    return {"domain": [printable(label) for label in labels], "range": colours}


def series_dashes(labels: Sequence[str]) -> Spec:
    """The scale of their dashes, which tell them apart without colours."""
    dashes = [[1, 0], [7, 3], [2, 2], [9, 3, 2, 3], [4, 2], [12, 4]]
    return {"domain": [printable(label) for label in labels], "range": dashes[: len(labels)]}
