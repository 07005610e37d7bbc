"""Latency against rate: what each probe of a search showed, beside the limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from build_engine.validation import counted
from harness.report.find import folders_with
from harness.report.html.cells import Cell, milliseconds, number
from harness.report.html.charts import ABOVE, WIDTH, Chart, Spec, draw, values
from harness.report.html.page import Group
from harness.search.record import SEARCH, SearchRecord, read_search

if TYPE_CHECKING:
    from harness.report.find import Found
    from harness.search.outcome import ProbeOutcome

_LATENCIES = {"ttft": "TTFT", "tpot": "TPOT"}
# What a probe showed, by its look: filled where a whole run decided.
_SHAPES = {
    "VALID": "circle",
    "INVALID": "cross",
    "given up": "triangle-up",
    "within": "circle",
    "beyond": "cross",
}
_FILLED = ("VALID", "INVALID")
_FAR = 1.2  # from the highest rate, where points would press all others together


def search_folders(found: Found, paths: Sequence[Path]) -> list[Path]:
    """The folders that are named, or hold a run, and in which a search lies; each once."""
    return folders_with(SEARCH, found, paths)


def search_groups(folders: Sequence[Path]) -> tuple[Group, ...]:
    """A section with the charts of every search in these folders; none where there is nothing to
    draw.
    """
    charts = tuple(
        chart
        for number, record in enumerate(_records(folders), start=1)
        for chart in _charts(record, number)
    )
    if not charts:
        return ()
    lead = (
        "Each probe of a search for the highest rate: p99 latency against the rate that was asked "
        "for. A run is VALID only with both below their limits."
    )
    return (Group("searches", "Latency by rate", lead, charts),)


def search_failures(folders: Sequence[Path]) -> Iterator[str]:
    """Searches that cannot be read, and those that are still to be ended."""
    for folder in folders:
        try:
            record = read_search(folder)
        except EnginebenchError as error:
            yield f"{folder / SEARCH} was passed over: {error}"
        else:
            if not record.ended:
                yield f"A search did not end. It goes on where it stopped: {record.command}"


def _records(folders: Sequence[Path]) -> Iterator[SearchRecord]:
    for folder in folders:
        try:
            yield read_search(folder)
        except EnginebenchError:  # told among the failures
            continue


def _charts(record: SearchRecord, number_of_search: int) -> Iterator[Chart]:
    """Two for the engine's own limits of the scheduler, and for others that were searched with."""
    every = [each.outcome for each in record.probes]
    for group, limits in enumerate(dict.fromkeys(probe.limits for probe in every)):
        probes = sorted((p for p in every if p.limits == limits), key=lambda p: p.rate)
        if limits is None or any(probe.kind == "whole" for probe in probes):
            label = f"{record.engine}, {record.scenario}" + (f", {limits}" if limits else "")
            name = f"search-{number_of_search}" + (f"-{group}" if limits else "")
            yield from _of(probes, label, name)


def _of(probes: Sequence[ProbeOutcome], label: str, name_of_search: str) -> Iterator[Chart]:
    near = _near(probes)
    verdicts = list(dict.fromkeys(probe.verdict for probe in near))
    left_out = len(probes) - len(near)
    others = (
        ""
        if not left_out
        else (
            f" {counted(left_out, 'probe')} further from the highest rate "
            f"{'is' if left_out == 1 else 'are'} among the numbers only."
        )
    )
    for field, name in _LATENCIES.items():
        limit_ms = getattr(probes[0], field).limit_s * 1e3
        rows: list[Spec] = [
            {
                "rate": probe.rate,
                "ms": getattr(probe, field).p99_s * 1e3,
                "verdict": probe.verdict,
            }
            for probe in near
        ]
        yield draw(
            _spec(rows, verdicts, limit_ms, name),
            name=f"{name_of_search}-{field}",
            title=f"{name} p99 by rate, {label}",
            description=f"{name} at p99 in milliseconds against queries per second, a point for "
            f"each of {len(near)} probes, and a line at the limit of {limit_ms:,g} ms.",
            columns=("queries/s", "probe", "queries", f"{name} p99, ms", "verdict"),
            rows=[
                (
                    number(probe.rate),
                    Cell(probe.kind),
                    number(probe.answered),
                    milliseconds(getattr(probe, field).p99_s),
                    Cell(probe.verdict),
                )
                for probe in probes
            ],
            note=f"The line is the limit, {limit_ms:,g} ms. Filled points are whole runs; a probe "
            f"was given up once too many answers were beyond one of the two limits.{others}",
        )


def _near(probes: Sequence[ProbeOutcome]) -> list[ProbeOutcome]:
    """Those near the highest rate that is VALID, runs first so that they hide nothing; all where
    there is none.
    """
    best = max((probe.rate for probe in probes if probe.valid), default=None)
    near = [p for p in probes if best is None or best / _FAR <= p.rate <= best * _FAR]
    return sorted(near, key=lambda probe: probe.kind != "whole")


def _spec(rows: Sequence[Spec], verdicts: Sequence[str], limit_ms: float, name: str) -> Spec:
    x: Spec = {
        "field": "rate",
        "type": "quantitative",
        "scale": {"zero": False, "nice": True},
        "axis": {"title": "queries/s", "tickCount": 6},
    }
    y: Spec = {
        "type": "quantitative",
        "scale": {"zero": True},
        "axis": {"title": f"{name} p99, ms", "tickCount": 5, "format": ",~f", **ABOVE},
    }
    good = ["VALID", "within"]
    colours = ["var(--accent)" if each in good else "var(--limit)" for each in verdicts]
    fills = [c if v in _FILLED else "var(--page)" for c, v in zip(colours, verdicts, strict=True)]
    mark: Spec = {"type": "point", "strokeWidth": 2, "opacity": 1, "size": 90}
    line: Spec = {"type": "rule", "stroke": "var(--limit)", "strokeWidth": 1.5}
    points: Spec = {
        "mark": mark,
        "encoding": {
            "x": x,
            "y": {"field": "ms", **y},
            "shape": _scale(verdicts, [_SHAPES[each] for each in verdicts]),
            "stroke": _scale(verdicts, colours),
            "fill": _scale(verdicts, fills),
        },
    }
    limit: Spec = {
        "data": values([{"limit": limit_ms}]),
        "mark": line,
        "encoding": {"y": {"field": "limit", **y}},
    }
    return {"width": WIDTH, "height": 240, "data": values(rows), "layer": [limit, points]}


def _scale(domain: Sequence[str], looks: Sequence[str]) -> Spec:
    """How each verdict looks, told in one legend."""
    scale: Spec = {"domain": list(domain), "range": list(looks)}
    return {"field": "verdict", "type": "nominal", "scale": scale, "legend": {}}
