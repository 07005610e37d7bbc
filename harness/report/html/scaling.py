"""Replicas: what further ones of a scaling study brought, what each replica of a run did, and where
the head of all of them saturates.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from harness.loadgen.replicas import ReplicaLoads, read_replicas
from harness.report.find import folders_with
from harness.report.html.cells import NOTHING, TIMES, Cell, figure, milliseconds, number
from harness.report.html.charts import ABOVE, WIDTH, Chart, Spec, draw, values
from harness.report.html.page import Group
from harness.studies.saturation import Saturation
from harness.studies.scaling import RECORD, ScalingRecord, efficiency, read_scaling

if TYPE_CHECKING:
    from harness.report.find import Found
    from harness.report.result import Result
    from runtime.executor import ReplicaLoad

MAX_RUNS = 12
"""Runs whose replicas stand side by side in one chart; the table has all."""

_LEAD = (
    "Copies of an engine that share the requests of one run: what further ones bring, how evenly "
    "all of them were used, and whether their head, which hands out all requests, could do more."
)


@dataclass(frozen=True, slots=True)
class _Step:
    """A complete run with replicas; `label` is how the charts call it."""

    label: str
    count: int
    tokens_per_s: float | None
    told: ReplicaLoads

    @property
    def loads(self) -> tuple[ReplicaLoad, ...]:
        """Of each replica."""
        return self.told.replicas

    @property
    def saturation(self) -> Saturation | None:
        """Of the head; None where the run does not say."""
        return Saturation.of(self.tokens_per_s, self.told.head, self.told.replicas)


def scaling_folders(found: Found, paths: Sequence[Path]) -> list[Path]:
    """The folders that are named, or hold a run, and in which a scaling study lies; each once."""
    return folders_with(RECORD, found, paths)


def scaling_failures(folders: Sequence[Path]) -> Iterator[str]:
    """Studies that cannot be read."""
    for folder in folders:
        try:
            read_scaling(folder)
        except EnginebenchError as error:
            yield f"{folder / RECORD} was passed over: {error}"


def scaling_groups(folders: Sequence[Path], results: Sequence[Result]) -> tuple[Group, ...]:
    """A section with the charts of every scaling study in these folders, and of the replicas of all
    other runs; none where no run has any. Speeds are those of the runs' own records.
    """
    charts: list[Chart] = []
    left = {result.folder.resolve(): result for result in results}
    for folder in folders:
        try:
            record = read_scaling(folder)
        except EnginebenchError:  # told among the failures
            continue
        steps = list(_steps(record, folder, left))
        charts += _study_charts(steps, f"scaling-{len(charts) + 1}", _titled(folder, len(folders)))
    others = [step for result in left.values() if (step := _alone(result)) is not None]
    if others:
        said = _busiest_head(others, named=len(others) > 1)
        charts.append(_loads_chart(others, "replicas", "Replicas of each run", "run", said))
    return (Group("scaling", "Replicas", _LEAD, tuple(charts)),) if charts else ()


def _titled(folder: Path, num_studies: int) -> str:
    return f", {folder.resolve().name}" if num_studies > 1 else ""


def _steps(record: ScalingRecord, folder: Path, left: dict[Path, Result]) -> Iterator[_Step]:
    """Those of a study whose runs are among the results, and are taken from them."""
    for step in record.steps:
        result = left.pop((folder / step.folder).resolve(), None)
        if result is not None:
            yield _step(result, str(step.replicas), step.replicas, _told(result))


def _alone(result: Result) -> _Step | None:
    """A run that belongs to no study; None without replicas."""
    told = _told(result)
    return _step(result, result.name, len(told.replicas), told) if told.replicas else None


def _step(result: Result, label: str, count: int, told: ReplicaLoads) -> _Step:
    rate = result.metrics[0].tokens_per_s if result.metrics else None
    return _Step(label, count, rate, told)


def _told(result: Result) -> ReplicaLoads:
    try:
        return read_replicas(result.run.folder.test("performance").replicas)
    except (FileNotFoundError, EnginebenchError):  # a run is whole without it
        return ReplicaLoads(replicas=())


def _busiest_head(steps: Sequence[_Step], *, named: bool = False) -> str:
    """What is to be said of the head of that run whose head had most to do, and which it is where
    that is wanted; "" for none.
    """
    known = [(saturation, step.label) for step in steps if (saturation := step.saturation)]
    if not known:
        return ""
    busiest, label = max(known, key=lambda each: each[0].busy_share)
    return f"{label}: {busiest.sentence}" if named else busiest.sentence


def _study_charts(steps: Sequence[_Step], name: str, titled: str) -> Iterator[Chart]:
    if any(step.tokens_per_s for step in steps):
        yield _speed_chart(steps, name, f"Throughput by replicas{titled}")
    if any(step.loads for step in steps):
        yield _loads_chart(steps, f"{name}-loads", f"Each replica{titled}", "replicas")


def _speed_chart(steps: Sequence[_Step], name: str, title: str) -> Chart:
    first = next(step for step in steps if step.tokens_per_s)
    shares = [
        efficiency((step.tokens_per_s, step.count), (first.tokens_per_s, first.count))
        for step in steps
    ]
    told = "; ".join(
        f"{figure(step.tokens_per_s)} with {step.label} ({share:.0%})"
        for step, share in zip(steps, shares, strict=True)
        if step.tokens_per_s and share
    )
    return draw(
        _speed_spec(steps, first, shares),
        name=name,
        title=title,
        description=f"Tokens per second of all replicas together, and the share of the ideal: "
        f"{told}.",
        columns=(
            *("replicas", "tokens/s", "ideal", "efficiency", "dispatch p99, ms"),
            *("head busy", "head saturates at, tokens/s"),
        ),
        rows=[
            (
                Cell(step.label, step.count),
                number(step.tokens_per_s),
                number(_ideal(first, step.count)),
                Cell(NOTHING) if share is None else Cell(f"{share:.1%}", share),
                milliseconds(step.told.dispatch_p99_s),
                *_head_cells(step.saturation),
            )
            for step, share in zip(steps, shares, strict=True)
        ],
        note=f"The dashed line is the ideal: so many {TIMES} one of the first step's replicas. "
        "Percentages are the efficiency, the measured share of it. Both axes are logarithmic. "
        + _busiest_head(steps),
    )


def _head_cells(saturation: Saturation | None) -> tuple[Cell, Cell]:
    if saturation is None:
        return Cell(NOTHING), Cell(NOTHING)
    share = saturation.busy_share
    return Cell(f"{share:.1%}", share), number(saturation.at_tokens_per_s)


def _ideal(first: _Step, count: int) -> float:
    assert first.tokens_per_s is not None
    return first.tokens_per_s / first.count * count


def _speed_spec(steps: Sequence[_Step], first: _Step, shares: Sequence[float | None]) -> Spec:
    counts = sorted({step.count for step in steps})
    rows: list[Spec] = [
        {"n": step.count, "rate": step.tokens_per_s, "share": f"{share:.0%}"}
        for step, share in zip(steps, shares, strict=True)
        if step.tokens_per_s and share
    ]
    ideal: list[Spec] = [{"n": count, "rate": _ideal(first, count)} for count in counts]
    told = [step.tokens_per_s for step in steps if step.tokens_per_s]
    low, high = min(told) / 1.6, max(*told, _ideal(first, counts[-1])) * 1.2
    x: Spec = {
        "field": "n",
        "type": "quantitative",
        "scale": {"type": "log", "base": 2, "domain": [counts[0] / 1.2, counts[-1] * 1.2]},
        "axis": {"title": "replicas", "values": counts, "format": "d", "labelOverlap": True},
    }
    y_axis: Spec = {"title": "tokens/s", "values": _round_between(low, high)}
    y: Spec = {
        "field": "rate",
        "type": "quantitative",
        "scale": {"type": "log", "domain": [low, high], "nice": False},
        "axis": {**y_axis, **_short(high), **ABOVE},
    }
    at: Spec = {"x": x, "y": y}
    dashed: Spec = {"type": "line", "stroke": "var(--neutral)", "strokeDash": [6, 4]}
    solid: Spec = {"type": "line", "stroke": "var(--accent)", "strokeWidth": 2}
    dot: Spec = {"type": "point", "filled": True, "fill": "var(--accent)", "opacity": 1, "size": 70}
    text: Spec = {"type": "text", "align": "center", "dy": 18}
    layers: list[Spec] = [
        {"data": values(ideal), "mark": dashed, "encoding": at},
        {"mark": solid, "encoding": at},
        {"mark": dot, "encoding": at},
        {"mark": text, "encoding": {**at, "text": {"field": "share"}}},
    ]
    return {"width": WIDTH, "height": 240, "data": values(rows), "layer": layers}


def _loads_chart(
    steps: Sequence[_Step], name: str, title: str, across: str, said: str = ""
) -> Chart:
    shown = steps[:MAX_RUNS]
    rates = [rate for step in steps for load in step.loads if (rate := _rate(load)) is not None]
    left_out = len(steps) - len(shown)
    return draw(
        _loads_spec(shown, across),
        name=name,
        title=title,
        description=f"Tokens per second of each of {len(rates)} replicas while it had requests, "
        f"from {figure(min(rates, default=0.0))} to {figure(max(rates, default=0.0))}.",
        columns=(
            *(across, "replica", "machine", "device", "requests", "tokens", "tokens/s"),
            *("busy, s", "dispatch p99, ms", "lost"),
        ),
        rows=[
            (
                Cell(step.label),
                Cell(f"{load.number} of {len(step.loads)}"),
                Cell(load.node),
                Cell(load.device or NOTHING),
                number(load.requests),
                number(load.tokens),
                number(_rate(load)),
                number(load.busy_s),
                milliseconds(load.dispatch_p99_s),
                Cell(load.lost or NOTHING),
            )
            for step in steps
            for load in step.loads
        ],
        note="A point is the tokens/s of one replica while it had requests."
        + (f" {left_out} more runs are in the table." if left_out else "")
        + (f" {said}" if said else ""),
    )


def _rate(load: ReplicaLoad) -> float | None:
    return load.tokens / load.busy_s if load.busy_s else None


def _loads_spec(steps: Sequence[_Step], across: str) -> Spec:
    rows: list[Spec] = [
        {"run": step.label, "rate": rate}
        for step in steps
        for load in step.loads
        if (rate := _rate(load)) is not None
    ]
    most = max((rate for step in steps for load in step.loads if (rate := _rate(load))), default=0)
    dot: Spec = {"type": "point", "stroke": "var(--accent)", "strokeWidth": 2, "opacity": 1}
    return {
        "width": WIDTH,
        "height": 44 * len(steps) + 60,
        "data": values(rows),
        "mark": {**dot, "shape": "circle", "fill": "var(--page)", "size": 70},
        "encoding": {
            "x": {
                "field": "rate",
                "type": "quantitative",
                "scale": {"zero": True, "nice": True},
                "axis": {"title": "tokens/s of a replica", "tickCount": 5, **_short(most)},
            },
            "y": {
                "field": "run",
                "type": "nominal",
                "sort": None,
                "axis": {"title": across, "grid": True, **ABOVE},
            },
        },
    }


def _round_between(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, and some between these where that would be few."""
    steps = (1, 2, 5) if high > 10 * low else (1, 1.5, 2, 3, 4, 5, 7)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)))
    every = (times * 10.0**power for power in powers for times in steps)
    return [value for value in every if low <= value <= high]


def _short(most: float) -> Spec:
    """How numbers up to `most` are written on an axis."""
    return {"format": "~s" if most >= 1e4 else ",~f"}
