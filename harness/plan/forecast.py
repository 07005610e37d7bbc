"""How fast an engine can be on a target, and is likely to be: the limits for a workload's requests,
and what published results reached of theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

from build_engine.checkpoint.known import resolve_architecture
from build_engine.recipe import load_recipe
from build_engine.roofline.engine import engine_roofline, reached_here
from build_engine.roofline.limits import IDEAL, Efficiency, Roofline
from build_engine.roofline.peaks import Peaks, stated_peaks
from build_engine.roofline.published import Published, PublishedOffline, Seen, load_published
from build_engine.target import load_target
from harness.plan.asked import Asked
from harness.plan.memory import memory_plan
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload

if TYPE_CHECKING:
    from build_engine.roofline.storage import Storage
    from harness.plan.memory import MemoryPlan

BATCH = "max_batch_size"
"""What binds a rate where more requests fit than the engine is built for."""
_WHOLE = 8  # to so many a batch is rounded down, for which more fit
_PUBLISHED = "mlperf"


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure at the least, the middle and the best efficiency that was seen."""

    low: float
    typical: float
    high: float

    @classmethod
    def of(cls, figure: Callable[[Efficiency], float], seen: Seen) -> Spread:
        """Of a figure that follows from an efficiency."""
        return cls(figure(seen.low), figure(seen.typical), figure(seen.high))


@dataclass(frozen=True, slots=True, kw_only=True)
class OfflineForecast:
    """Tokens of answers a second."""

    overlap_limit: float
    serial_limit: float
    likely: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyForecast:
    """Seconds of a request alone: its first token, each further one, and the whole answer."""

    ttft_floor_s: float
    tpot_floor_s: float
    floor_s: float
    likely_s: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class RateForecast:
    """Queries a second within the latency limits of a scenario; `bound` says what binds the typical
    one (memory, max_batch_size, TTFT or TPOT), and `wanted` how many requests in flight the latency
    limits alone would allow then.
    """

    limit: float
    likely: Spread
    bound: str
    wanted: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """How fast one engine is. `longest_iteration_s` is that of an iteration that reads prompts
    only, at the typical efficiency: for so long no answer goes on.
    """

    offline: OfflineForecast
    single_stream: LatencyForecast
    rates: dict[Scenario, RateForecast]
    longest_iteration_s: float
    peaks: str
    efficiencies: str


def forecast(asked: Asked, peaks: Peaks) -> Forecast | None:
    """The speed of an engine on a machine of these peaks; None where none is known for a precision
    that it computes in.
    """
    memory = memory_plan(asked)
    limits = roofline(asked, peaks, memory.at_once)
    if limits is None:
        return None
    tokens, (likely, seen) = asked.lengths.answer, reached_of(asked, peaks, limits)
    return Forecast(
        offline=OfflineForecast(
            overlap_limit=tokens * limits.overlap_limit,
            serial_limit=tokens * limits.serial_limit,
            likely=Spread.of(lambda reached: tokens * likely.offline(reached), seen),
        ),
        single_stream=LatencyForecast(
            ttft_floor_s=limits.ttft_s(),
            tpot_floor_s=limits.tpot_s(),
            floor_s=limits.latency_s(),
            likely_s=Spread.of(likely.latency_s, seen),
        ),
        rates=_rates(asked, memory, limits, likely, seen),
        longest_iteration_s=likely.iteration_s(memory.limits.max_num_tokens, seen.typical),
        peaks=peaks.source,
        efficiencies=seen.source,
    )


def roofline(asked: Asked, peaks: Peaks, requests: int) -> Roofline | None:
    """The limits of an engine with so many requests at once; None as for `forecast`."""
    return engine_roofline(asked.model.config, asked.storage, asked.lengths, peaks, requests)


def reached_of(asked: Asked, peaks: Peaks, limits: Roofline) -> tuple[Roofline, Seen]:
    """The limits and what is reached of them: by the measured steps of this machine, where there
    are any, and else by what published results reached.
    """
    if peaks.steps is None:
        return limits, seen_efficiencies()
    return reached_here(limits, asked.model.config, asked.recipe, peaks.steps)


def _rates(
    asked: Asked, memory: MemoryPlan, limits: Roofline, likely: Roofline, seen: Seen
) -> dict[Scenario, RateForecast]:
    found = {}
    for scenario, rules in asked.workload.scenarios.items():
        if rules.ttft_ms is not None and rules.tpot_ms is not None:
            bounds = (rules.ttft_ms / 1e3, rules.tpot_ms / 1e3)
            rate = _rate(limits, likely, seen, bounds)
            if rate.bound == "memory" and memory.requests - memory.at_once >= _WHOLE:
                rate = replace(rate, bound=BATCH)
            found[scenario] = rate
    return found


def _rate(
    limits: Roofline, likely: Roofline, seen: Seen, bounds: tuple[float, float]
) -> RateForecast:
    typical = likely.rate(seen.typical, *bounds)
    return RateForecast(
        limit=limits.rate(IDEAL, *bounds).queries_per_s,
        likely=Spread.of(lambda reached: likely.rate(reached, *bounds).queries_per_s, seen),
        bound=typical.bound,
        wanted=typical.wanted,
    )


@cache
def seen_efficiencies() -> Seen:
    """What published results reached, by the formulas that plan with it."""
    published = load_published(_PUBLISHED)
    compute = [
        (_compute(published, row), f"{row.system}, {row.software}") for row in published.offline
    ]
    return Seen.of(compute, _bandwidths(published))


def published_roofline(published: Published, row: PublishedOffline) -> Roofline:
    """The limits of one GPU of a published result, with as many requests as fit: those engines
    were built for more than that.
    """
    asked = _asked(published, row.target, row.recipe)
    peaks = stated_peaks(asked.target).value
    assert peaks is not None, row
    found = roofline(asked, peaks, memory_plan(asked).requests)
    assert found is not None, row
    return found


def _compute(published: Published, row: PublishedOffline) -> float:
    return published_roofline(published, row).efficiency(row.samples_per_s)


def _bandwidths(published: Published) -> list[float]:
    """Efficiencies of the bandwidth: of a request alone, a token is little else than traffic."""
    found = []
    for row in published.single_stream:
        asked = _asked(published, "a30", row.recipe)  # of the target only the backend matters
        endless = float("inf")
        storage: Storage = asked.storage
        peaks = Peaks(
            {storage.linear_math: endless, storage.other_math: endless},
            row.bandwidth_gb_s * 1e9,
            row.system,
        )
        limits = roofline(asked, peaks, 1)
        assert limits is not None
        found.append(limits.tpot_s() / (row.tpot_ms / 1e3))
    return found


def _asked(published: Published, target: str, recipe: str) -> Asked:
    return Asked(
        model=resolve_architecture(published.model),
        target=load_target(target),
        recipe=load_recipe(recipe),
        workload=load_workload(published.model),
    )
