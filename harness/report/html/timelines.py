"""A run as it went: what its engine did at each moment, from the run's `progress.jsonl`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from build_engine.files import Unreadable, parse_json, read_bytes
from harness.report.html.cells import Cell, number
from harness.report.html.charts import WIDTH, Chart, Spec, draw, values

_MAX_BYTES = 2**26  # a day of reports, twice a second, has 60 MB
_TEST = "performance"
_PANEL_PX = 62


@dataclass(frozen=True, slots=True)
class Moment:
    """What was known at one moment, or on average over the time since the one before. `kv_share` is
    of the blocks of the KV cache; None is not known.
    """

    elapsed_s: float
    tokens_per_s: float
    prompt_tokens_per_s: float | None
    running: float | None
    queued: float | None
    kv_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Report:
    """The figures of a line that are shown, by the names that they have there. Counts are of the
    whole test so far; what an engine does not tell is None.
    """

    elapsed_s: float
    tokens: float
    prompt_tokens: float | None = None
    active: float | None = None
    queued: float | None = None
    kv_blocks_used: float | None = None
    kv_blocks_total: float | None = None


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


def read_timeline(progress: Path, num_moments: int) -> list[Moment]:
    """At most `num_moments` of the first performance test; empty where nothing was reported, or no
    line can be read. A line that a killed run left half written is passed over.
    """
    try:
        lines = read_bytes(progress, _MAX_BYTES).splitlines()
    except (OSError, Unreadable):
        return []
    reports = [found for line in lines if (found := _report(line)) is not None]
    return _moments(reports, num_moments)


def draw_timeline(moments: Sequence[Moment], *, name: str, title: str) -> Chart:
    """A panel for each figure that is known, one above the other."""
    panels = [
        panel
        for panel in _PANELS
        if any(getattr(each, panel.field) is not None for each in moments)
    ]
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
    )


def _cell(value: float | None, panel: _Panel) -> Cell:
    if value is not None and panel.format.endswith("%"):
        return Cell(f"{value:.0%}", value)
    return number(value)


def _report(line: bytes) -> _Report | None:
    """What a line says of the test that is shown; None for any other line."""
    try:
        found = parse_json(line)
    except Unreadable:
        return None
    if not isinstance(found, dict) or found.get("test") != _TEST:
        return None
    told = {name: found.get(name) for name in _Report.__dataclass_fields__}
    numbers = {name: value for name, value in told.items() if isinstance(value, int | float)}
    if not {"elapsed_s", "tokens"} <= numbers.keys():
        return None
    return _Report(**numbers)


def _moments(reports: Sequence[_Report], num_moments: int) -> list[Moment]:
    """Rates over whole stretches of reports, so that nothing is lost where reports are many."""
    if not reports:
        return []
    stretch = -(-len(reports) // num_moments)
    ends = [*range(stretch - 1, len(reports) - 1, stretch), len(reports) - 1]
    before, start, moments = _Report(elapsed_s=0.0, tokens=0, prompt_tokens=0), 0, []
    for end in ends:
        if reports[end].elapsed_s > before.elapsed_s:
            moments.append(_moment(before, reports[start : end + 1]))
        before, start = reports[end], end + 1
    return moments


def _moment(before: _Report, during: Sequence[_Report]) -> Moment:
    now = during[-1]
    span_s = now.elapsed_s - before.elapsed_s
    used, total = _mean(each.kv_blocks_used for each in during), now.kv_blocks_total
    prompts = None
    if now.prompt_tokens is not None:
        prompts = (now.prompt_tokens - (before.prompt_tokens or 0)) / span_s
    return Moment(
        elapsed_s=now.elapsed_s,
        tokens_per_s=(now.tokens - before.tokens) / span_s,
        prompt_tokens_per_s=prompts,
        running=_mean(each.active for each in during),
        queued=_mean(each.queued for each in during),
        kv_share=used / total if used is not None and total else None,
    )


def _mean(figures: Iterable[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known) if known else None


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
