"""The plan of an engine (memory, speed, time) before anything is spent, and plans side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError, EnvironmentFault, RecipeRefused
from build_engine.roofline.memory import checkpoint_bytes
from build_engine.roofline.peaks import Peaks, stated_peaks
from harness.machine.measured import MEASURE, is_this_cpu
from harness.plan.asked import Asked
from harness.plan.forecast import Forecast, forecast
from harness.plan.memory import MemoryPlan, memory_plan
from harness.plan.times import ScenarioTimes, Untimed, scenario_times
from harness.runs.sizes import SizesGiven

if TYPE_CHECKING:
    from harness.rules.rounds import Round


@dataclass(frozen=True, slots=True, kw_only=True)
class EnginePlan:
    """What is known of an engine before it is built. `forecast` is None where no peaks are known,
    for the reason in `no_forecast`, and where the engine does not fit.
    """

    asked: Asked
    memory: MemoryPlan
    forecast: Forecast | None
    no_forecast: str
    times: Sequence[ScenarioTimes]
    untimed: Sequence[Untimed]
    full_cache: EnginePlan | None
    """The same with a KV cache that is not quantised and with chunked context, where the KV cache
    of this one excludes that.
    """

    @property
    def disk_bytes(self) -> int:
        """The checkpoint, and what is made of it."""
        needs = self.memory.needs
        made = needs.disk if needs else self.memory.weights.resident
        return checkpoint_bytes(self.asked.model.config) + made

    @property
    def better_cache(self) -> EnginePlan:
        """This one or `full_cache`: the one of more tokens/s in Offline, where that is known."""
        other = self.full_cache
        if other is None or self.forecast is None or other.forecast is None:
            return self
        return max(self, other, key=_offline)


@dataclass(frozen=True, slots=True)
class Refused:
    """An engine that cannot be, and why."""

    asked: Asked
    reason: str

    @property
    def told(self) -> str:
        """Which recipe is refused, and why, whatever sizes were asked for."""
        label = replace(self.asked, sizes=SizesGiven()).label
        return f"`{label}` is refused on `{self.asked.target.name}`: {self.reason}"


@dataclass(frozen=True, slots=True)
class Plans:
    """Plans side by side."""

    plans: tuple[EnginePlan, ...]
    refused: tuple[Refused, ...]

    def require_best(self) -> EnginePlan:
        """Of those that fit the one of the most tokens/s in Offline, or the first where no speed is
        known. Raises EnvironmentFault where this machine has no room for any of them now, and
        ConfigError where a target has none, or sizes are such as `build` refuses.
        """
        if fitting := [plan for plan in self.plans if plan.memory.fits]:
            return max(fitting, key=_offline)
        here = all(p.memory.on_host and p.asked.too_large is None for p in self.plans)
        fault = EnvironmentFault if here else ConfigError
        if len(self.plans) == 1:
            raise fault(f"It does not fit: {self.plans[0].memory.too_large}")
        raise fault(
            "None of these engines fits; change what is said of each, or choose another --recipe "
            "or --target."
        )


def make_plan(asked: Asked, chosen: Round, measured: Peaks | None = None) -> EnginePlan:
    """The plan of one engine. `measured` are peaks of this machine, in place of those that the
    target states. Raises ConfigError where too little is known of the workload or of the memory.
    """
    return _plan(asked, chosen, measured, asked.with_full_cache)


def make_plans(asked: Sequence[Asked], chosen: Round, measured: Mapping[str, Peaks]) -> Plans:
    """Plans of all that the targets can execute; `measured` are peaks by the name of a target.

    Raises RecipeRefused where nothing is left, with what else the target could do, the best first.
    """
    reasons = [(each, each.refusal) for each in asked]
    refused = [Refused(each, reason) for each, reason in reasons if reason is not None]
    plans = [
        make_plan(each, chosen, measured.get(each.target.name))
        for each, reason in reasons
        if reason is None
    ]
    return Plans(tuple(plans), tuple(refused))


def require_some(plans: Plans, others: Callable[[str], Plans]) -> None:
    """Return where there is a plan. Raises RecipeRefused: with all that `others` plans for
    the target of the first, by what is likely in Offline and in SingleStream.
    """
    if plans.plans:
        return
    first = plans.refused[0]
    ranked = [plan for plan in others(first.asked.target.name).plans if plan.forecast is not None]
    if not ranked:
        raise RecipeRefused(f"{first.told}; choose another --recipe or --target.")
    quick = sorted(ranked, key=_alone)
    many = sorted(ranked, key=_offline, reverse=True)
    raise RecipeRefused(
        f"{first.told}; by likely tokens/s in Offline there are "
        f"{', '.join(f'`{p.asked.recipe.name}` ({_offline(p):,.0f})' for p in many)}, and by "
        f"likely seconds of a SingleStream answer "
        f"{', '.join(f'`{p.asked.recipe.name}` ({_alone(p):.2g})' for p in quick)}."
    )


def _plan(asked: Asked, chosen: Round, measured: Peaks | None, full: Asked | None) -> EnginePlan:
    memory = memory_plan(asked)
    stated = stated_peaks(asked.target)
    peaks = measured or stated.value
    found, reason = None, ""
    if peaks is None:
        reason = f"{stated.reason} ({MEASURE})" if is_this_cpu(asked.target) else stated.reason
    elif not memory.fits:
        reason = "it does not fit"
    elif memory.limits.tensor_parallel > 1:
        reason = f"{memory.limits.tensor_parallel} GPUs share it, and peaks are those of one"
    else:
        found = forecast(asked, peaks)
        reason = "" if found else _no_peak(asked)
    times, untimed = scenario_times(asked, found, chosen) if found else ([], [])
    return EnginePlan(
        asked=asked,
        memory=memory,
        forecast=found,
        no_forecast=reason,
        times=times,
        untimed=untimed,
        full_cache=_plan(full, chosen, measured, None) if full else None,
    )


def _no_peak(asked: Asked) -> str:
    storage = asked.storage
    return (
        f"it computes in {storage.linear_math.upper()} and {storage.other_math.upper()}, and "
        f"target `{asked.target.name}` has no peak for both"
    )


def _offline(plan: EnginePlan) -> float:
    return plan.forecast.offline.likely.typical if plan.forecast else 0.0


def _alone(plan: EnginePlan) -> float:
    return plan.forecast.single_stream.likely_s.typical if plan.forecast else float("inf")
