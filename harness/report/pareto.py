"""The Pareto front: candidates that no other one beats in all of throughput, accuracy and memory.

It goes by the values alone, not by their intervals.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.report.comparison import CandidateSummary, Pareto, ParetoPoint
from harness.rules.scenario import Scenario

_SPEED = (Scenario.OFFLINE, Scenario.SINGLE_STREAM)  # where the engine decides, and no rate
_ACCURACY = "rouge1"


def pareto_of(candidates: Sequence[CandidateSummary]) -> Pareto:
    """By the axes that all of them have. An emulated one has no speed, and is left out where
    another has one, as is a simulated one; memory is that of the engine's files where no peak was
    recorded.
    """
    reasons = [(each.label, _why_left_out(each)) for each in candidates]
    left_out = {label: why for label, why in reasons if why}
    weighed = [each for each in candidates if each.label not in left_out]
    if not weighed:
        weighed, left_out = list(candidates), {}
    scenario = next((s for s in _SPEED if _all_have(weighed, "throughput", s)), None)
    memory = next((name for name in ("memory", "size") if _all_have(weighed, name)), None)
    scored = _all_have(weighed, _ACCURACY)
    points = [
        ParetoPoint(
            label=each.label,
            throughput=_value(each, "throughput", scenario) if scenario else None,
            accuracy=_value(each, _ACCURACY) if scored else None,
            memory=_value(each, memory) if memory else None,
            dominated_by=None,
        )
        for each in weighed
    ]
    axes = (
        *((f"{scenario} tokens/s",) if scenario else ()),
        *(("ROUGE-1",) if scored else ()),
        *(("peak memory, MB" if memory == "memory" else "engine size, MB",) if memory else ()),
    )
    return Pareto(axes=axes, points=tuple(_judged(points)), left_out=left_out)


def _why_left_out(candidate: CandidateSummary) -> str:
    if candidate.simulated:
        return "it is simulated, and its speed is a time model's"
    return "it is emulated, and has no speed or memory of its own" if candidate.emulated else ""


def _judged(points: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    return [
        point.model_copy(
            update={
                "dominated_by": next(
                    (other.label for other in points if _dominates(other, point)), None
                )
            }
        )
        for point in points
    ]


def _dominates(other: ParetoPoint, point: ParetoPoint) -> bool:
    ours, theirs = _goods(point), _goods(other)
    return ours != theirs and all(t >= o for o, t in zip(ours, theirs, strict=True))


def _goods(point: ParetoPoint) -> tuple[float, ...]:
    """The more the better."""
    memory = None if point.memory is None else -point.memory
    return tuple(v for v in (point.throughput, point.accuracy, memory) if v is not None)


def _all_have(
    candidates: Sequence[CandidateSummary], metric: str, scenario: Scenario | None = None
) -> bool:
    return all(each.figure(metric, scenario) is not None for each in candidates)


def _value(each: CandidateSummary, metric: str, scenario: Scenario | None = None) -> float | None:
    figure = each.figure(metric, scenario)
    return None if figure is None else figure.value
