"""A run as it went: what its engine did at each moment, from the run's `progress.jsonl`."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from harness.report.html.cells import Cell, number
from harness.report.html.charts import WIDTH, Chart, Spec, draw, values
from harness.runs.timeline import read_timeline

if TYPE_CHECKING:
    from harness.figures import ProgressFigures
    from harness.runs.folder import RunFolder

_TEST = "performance"
_PANEL_PX = 62


@dataclass(frozen=True, slots=True)
class Moment:
    """The figures of the time since the moment before, on average. `kv_share` is of the blocks of
    the KV cache, None where the engine does not tell.
    """

    elapsed_s: float
    tokens_per_s: float
    prompt_tokens_per_s: float
    running: float
    queued: float
    kv_share: float | None


class _Counts(NamedTuple):
    """Of the whole test, up to a moment."""

    elapsed_s: float = 0.0
    tokens: int = 0
    prompt_tokens: int = 0


@dataclass(frozen=True, slots=True)
class _Panel:
    field: str
    title: str
    format: str = ",~f"


_PANELS = (
    _Panel("tokens_per_s", "output tokens/s"),
    _Panel("prompt_tokens_per_s", "prompt tokens/s"),
    _Panel("running", "running"),
    _Panel("queued", "queued"),
    _Panel("kv_share", "KV cache used", ".0%"),
)


def read_moments(run: RunFolder, num_moments: int) -> list[Moment]:
    """At most `num_moments` of the first performance test; empty where nothing was reported."""
    return _moments(read_timeline(run.progress).get(_TEST, ()), num_moments)


def draw_timeline(moments: Sequence[Moment], *, name: str, title: str) -> Chart:
    """A panel for each figure that is known and was ever above 0, one above the other."""
    panels = [panel for panel in _PANELS if any(getattr(each, panel.field) for each in moments)]
    still = [panel.title for panel in _PANELS if panel not in panels and _is_known(panel, moments)]
    known = ", ".join(panel.title for panel in panels)
    return draw(
        _spec(moments, panels),
        name=name,
        title=title,
        description=f"Over {moments[-1].elapsed_s:.1f} seconds of the test: {known}.",
        columns=("seconds", *(panel.title for panel in panels)),
        rows=[
            [
                Cell(f"{each.elapsed_s:.1f}", each.elapsed_s),
                *(_cell(getattr(each, panel.field), panel) for panel in panels),
            ]
            for each in moments
        ],
        note=f"Zero all the time: {', '.join(still)}." if still else "",
    )


def _is_known(panel: _Panel, moments: Sequence[Moment]) -> bool:
    return any(getattr(each, panel.field) is not None for each in moments)


def _cell(value: float | None, panel: _Panel) -> Cell:
    if value is not None and panel.format.endswith("%"):
        return Cell(f"{value:.0%}", value)
    return number(value)


def _moments(reports: Sequence[ProgressFigures], num_moments: int) -> list[Moment]:
    """Rates over whole stretches of reports, so that nothing is lost where reports are many."""
    stretch = -(-len(reports) // num_moments)
    before, moments = _Counts(), []
    for start in range(0, len(reports), max(stretch, 1)):
        during = reports[start : start + stretch]
        now = _Counts(during[-1].elapsed_s, during[-1].tokens, during[-1].prompt_tokens)
        if now.elapsed_s > before.elapsed_s:
            moments.append(_moment(before, now, during))
        before = now
    return moments


def _moment(before: _Counts, now: _Counts, during: Sequence[ProgressFigures]) -> Moment:
    span_s = now.elapsed_s - before.elapsed_s
    shares = [
        each.kv_blocks_used / each.kv_blocks_total
        for each in during
        if each.kv_blocks_used is not None and each.kv_blocks_total
    ]
    return Moment(
        elapsed_s=now.elapsed_s,
        tokens_per_s=(now.tokens - before.tokens) / span_s,
        prompt_tokens_per_s=(now.prompt_tokens - before.prompt_tokens) / span_s,
        running=statistics.fmean(each.active for each in during),
        queued=statistics.fmean(each.queued for each in during),
        kv_share=statistics.fmean(shares) if shares else None,
    )


def _spec(moments: Sequence[Moment], panels: Sequence[_Panel]) -> Spec:
    rows: list[Spec] = [
        {"s": each.elapsed_s, **{panel.field: getattr(each, panel.field) for panel in panels}}
        for each in moments
    ]
    return {
        "data": values(rows),
        "spacing": 14,
        "vconcat": [_drawn(panel, panel is panels[-1]) for panel in panels],
    }


def _drawn(panel: _Panel, last: bool) -> Spec:
    x_axis: Spec = {"title": "seconds" if last else None, "labels": last, "tickCount": 6}
    return {
        "width": WIDTH - 70,
        "height": _PANEL_PX,
        "title": {
            "text": panel.title,
            "anchor": "start",
            "frame": "group",
            "color": "var(--ink)",
            "fontSize": 12,
            "fontWeight": "normal",
            "offset": 4,
        },
        "mark": {
            "type": "area",
            "interpolate": "step-before",
            "color": "var(--area)",
            "line": {"color": "var(--accent)", "strokeWidth": 1.5},
        },
        "encoding": {
            "x": {"field": "s", "type": "quantitative", "axis": x_axis, "scale": {"nice": False}},
            "y": {
                "field": panel.field,
                "type": "quantitative",
                "axis": {"title": None, "tickCount": 3, "format": panel.format},
            },
        },
    }
