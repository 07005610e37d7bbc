"""Plans as a person reads them, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from build_engine.progress import size_text
from harness.figures import duration
from harness.plan.forecast import BATCH
from harness.rules.scenario import Scenario

if TYPE_CHECKING:
    from build_engine.roofline.memory import BuildNeeds
    from harness.cli.output import Output
    from harness.plan.forecast import Forecast, RateForecast, Spread
    from harness.plan.memory import MemoryPlan
    from harness.plan.plan import EnginePlan, Plans
    from harness.plan.times import ScenarioTimes

_NO_SPEED = "No speed is predicted"


def show_plan(out: Output, plan: EnginePlan) -> None:
    """One plan, whole."""
    asked, lengths = plan.asked, plan.asked.lengths
    out.say(
        f"{asked.model.name} for {asked.target.title}: {asked.recipe.title}; workload "
        f"{asked.workload.name}, prompts of {lengths.prompt:,g} tokens on average and "
        f"{lengths.longest_prompt:,} at most, answers of {lengths.answer}"
    )
    if asked.shorter:
        out.say(asked.shorter)
    _show_memory(out, plan.memory)
    if plan.forecast is None:
        out.say(f"{_NO_SPEED}: {plan.no_forecast}.")
    else:
        _show_speed(out, plan.forecast, plan.memory)
        _show_times(out, plan.times)
        for each in plan.untimed:
            out.say(f"{each.scenario} has no run length: {each.reason}.")
    out.say(f"Disk: {size_text(plan.disk_bytes)} for the checkpoint and what is made of it.")
    _show_caches(out, plan)


def show_plans(out: Output, plans: Plans) -> None:
    """Several, side by side: a table for each target."""
    columns = ["engine", "weights\nGB", "fit", "Offline\ntok/s", "limit\ntok/s"]
    columns += ["Server\n1/s", "Inter-\nactive\n1/s", "Single-\nStream\ns"]
    for target in dict.fromkeys(plan.asked.target.name for plan in plans.plans):
        found = [plan for plan in plans.plans if plan.asked.target.name == target]
        rows = [_row(each) for plan in found for each in (plan, plan.full_cache) if each]
        out.table(columns, rows, title=found[0].asked.target.title)
    for reason in dict.fromkeys(plan.no_forecast for plan in plans.plans if plan.no_forecast):
        out.say(f"{_NO_SPEED}: {reason}.")
    if seen := _efficiencies(plans):
        out.say(
            "Engines fit so many requests of mean length. Figures are likely ones, but for the "
            f"limit: {seen}."
        )
    for shorter in dict.fromkeys(plan.asked.shorter for plan in plans.plans):
        if shorter:
            out.say(shorter)
    for plan in plans.plans:
        for each in (plan, plan.full_cache):
            if each is not None and not each.memory.fits:
                out.say(f"{each.asked.label} does not fit: {each.memory.too_large}")
    for told in dict.fromkeys(_quantised_elsewhere(plan) for plan in plans.plans):
        if told:
            out.say(f"* {told}")
    for told in dict.fromkeys(refused.told for refused in plans.refused):
        out.say(f"{told}.")


def _efficiencies(plans: Plans) -> str:
    """What is likely, and on which targets where it is not the same on all."""
    found: dict[str, dict[str, None]] = {}
    for plan in plans.plans:
        if plan.forecast is not None:
            found.setdefault(plan.forecast.efficiencies, {})[plan.asked.target.name] = None
    if len(found) < 2:
        return "".join(found)
    return "; ".join(f"on {', '.join(targets)} {seen}" for seen, targets in found.items())


def document(plans: Plans) -> dict[str, object]:
    """Plans as plain JSON values."""
    return {
        "plans": [_document(plan) for plan in plans.plans],
        "refused": [
            {
                "target": each.asked.target.name,
                "recipe": each.asked.recipe.name,
                "reason": each.reason,
            }
            for each in plans.refused
        ],
    }


def _document(plan: EnginePlan) -> dict[str, object]:
    asked, memory = plan.asked, plan.memory
    return {
        "model": asked.model.name,
        "target": asked.target.name,
        "recipe": asked.recipe.rules.model_dump(mode="json"),
        "workload": asked.workload.name,
        "lengths": asdict(asked.lengths),
        "shorter": asked.shorter,
        "memory": {
            **asdict(memory),
            "at_once": memory.at_once,
            "fits": memory.fits,
            "quantises": memory.quantises,
            "runtime": memory.runtime,
        },
        "forecast": asdict(plan.forecast) if plan.forecast else None,
        "no_forecast": plan.no_forecast,
        "times": [asdict(each) for each in plan.times],
        "untimed": [asdict(each) for each in plan.untimed],
        "disk_bytes": plan.disk_bytes,
        "full_cache": _document(plan.full_cache) if plan.full_cache else None,
    }


def _show_memory(out: Output, memory: MemoryPlan) -> None:
    weights, limits = memory.weights, memory.limits
    parts = [
        ("weights: attention", weights.attention),
        ("weights: MLPs", weights.mlp),
        ("weights: embedding", weights.embedding),
        ("weights: head", weights.head),
        ("activations", memory.activations),
        (f"KV cache, {memory.kv_token:,} bytes a token", memory.cache),
        ("left to the runtime", memory.runtime),
    ]
    shared = f" of each of {limits.tensor_parallel} GPUs" if limits.tensor_parallel > 1 else ""
    out.say(f"Memory{shared}: {size_text(memory.device)} ({memory.device_source})")
    out.lines([[f"  {name}", _size(size)] for name, size in parts if size])
    if not memory.fits:
        return
    built = (
        f"built for {limits.max_batch_size} (max_batch_size) and iterations of "
        f"{limits.max_num_tokens:,} tokens (max_num_tokens"
    )
    most = f", {memory.most_num_tokens:,} at most)" if memory.most_num_tokens else ")"
    out.say(
        f"  Requests at once: {memory.requests:,} of mean length fit, {memory.longest_requests:,} "
        f"of the greatest; {built}{most}"
    )
    if memory.needs is not None:
        needs = memory.needs
        for stage, device, host in (
            ("quantise", needs.quantise_device, needs.quantise_host),
            ("compile", needs.build_device, needs.build_host),
        ):
            if not device and not host:
                continue
            fits = "fits" if device <= memory.device else "does not fit"
            if stage == "quantise" and not memory.quantises:
                fits += f"; with it hidden, {_host_to_quantise(needs)} in all"
            told = f"{size_text(device)} of the GPU ({fits})" if device else "no GPU"
            lacks = memory.on_host and host > memory.device
            note = " (more than is free here now)" if lacks else ""
            out.say(f"  To {stage}: {told}, and {size_text(host)} of host memory{note}")


def _show_speed(out: Output, seen: Forecast, memory: MemoryPlan) -> None:
    offline, alone = seen.offline, seen.single_stream
    rows = [
        [
            "Offline, tokens/s",
            f"{offline.overlap_limit:,.0f} ({offline.serial_limit:,.0f} serial)",
            _range(offline.likely, "{:,.0f}"),
        ]
    ]
    for scenario, rate in seen.rates.items():
        figures = [f"{rate.limit:,.3g}", _range(rate.likely, "{:,.3g}")]
        rows.append([f"{scenario}, queries/s", *figures])
    rows.append(
        [
            "SingleStream, s",
            f"{alone.floor_s:,.3g} (TTFT {alone.ttft_floor_s * 1e3:,.3g} ms, "
            f"TPOT {alone.tpot_floor_s * 1e3:,.3g} ms)",
            _range(alone.likely_s, "{:,.3g}"),
        ]
    )
    out.table(["speed", "limit", "likely"], rows)
    out.say(f"Limits: {seen.peaks}. Likely: {seen.efficiencies}.")
    for scenario, rate in seen.rates.items():
        out.say(_bound(scenario, rate, memory))


def _show_times(out: Output, times: Sequence[ScenarioTimes]) -> None:
    rows = [
        [
            str(each.scenario),
            " to ".join(dict.fromkeys(f"{queries:,}" for queries in each.queries)),
            _spell(each.performance_s),
            _spell(each.accuracy_s),
        ]
        for each in times
    ]
    out.table(["run", "queries", "performance test", "accuracy test"], rows)


def _show_caches(out: Output, plan: EnginePlan) -> None:
    """What the KV cache of this recipe excludes, and the same without that."""
    other = plan.full_cache
    if other is None or not other.memory.fits:
        return
    kind, full = plan.asked.recipe.kv_cache, other.asked.recipe.kv_cache
    out.say(
        f"A KV cache in {kind} excludes chunked context: a prompt is read in one iteration. With "
        f"--set recipe.kv_cache={full} prompts are chunked, and {other.memory.requests:,} requests "
        f"fit instead of {plan.memory.requests:,}."
    )
    if plan.forecast is None or other.forecast is None:
        return
    rows = [_cache_row(each, each.forecast) for each in (plan, other) if each.forecast]
    columns = ["KV cache", "Offline tokens/s", "Server, queries/s", "longest iteration", "requests"]
    out.table(columns, rows)
    out.say(f"Likely better: {plan.better_cache.asked.recipe.kv_cache}, by tokens/s in Offline.")


def _cache_row(plan: EnginePlan, seen: Forecast) -> list[str]:
    return [
        plan.asked.recipe.kv_cache,
        _range(seen.offline.likely, "{:,.0f}"),
        _typical(seen, Scenario.SERVER),
        f"{seen.longest_iteration_s * 1e3:,.0f} ms",
        f"{plan.memory.requests:,}",
    ]


def _bound(scenario: Scenario, rate: RateForecast, memory: MemoryPlan) -> str:
    """What binds a rate, in words."""
    at_once = memory.at_once
    if rate.likely.typical == 0:
        slow = "the first token" if rate.bound == "TTFT" else "a token"
        return f"{scenario} cannot be served: {slow} takes longer than its limit, {rate.bound}."
    if rate.bound == BATCH:
        return (
            f"{scenario} is bound by {BATCH}: its latency limits would allow {rate.wanted:,.0f} "
            f"requests in flight, {memory.requests:,} fit, and {at_once:,} is what it is built for."
        )
    if rate.bound == "memory":
        return (
            f"{scenario} is bound by memory: its latency limits would allow {rate.wanted:,.0f} "
            f"requests in flight, and {at_once:,} are possible."
        )
    return (
        f"{scenario} is bound by {rate.bound}, with {rate.wanted:,.0f} of the {at_once:,} possible "
        "requests in flight."
    )


def _row(plan: EnginePlan) -> list[str]:
    memory, seen = plan.memory, plan.forecast
    mark = " *" if memory.fits and not memory.quantises else ""
    row = [
        f"{plan.asked.label}{mark}",
        f"{memory.weights.resident / 1e9:,.3g}",
        f"{memory.requests:,}",
    ]
    if seen is None:
        return [*row, *("-" * 5)]
    offline = seen.offline
    return [
        *row,
        f"{offline.likely.typical:,.0f}",
        f"{offline.overlap_limit:,.0f}",
        *(_typical(seen, scenario) for scenario in (Scenario.SERVER, Scenario.INTERACTIVE)),
        f"{seen.single_stream.likely_s.typical:,.2g}",
    ]


def _host_to_quantise(needs: BuildNeeds) -> str:
    return f"{size_text(needs.quantise_alone)} of host memory"


def _quantised_elsewhere(plan: EnginePlan) -> str:
    """Why a recipe's checkpoint is not quantised on the target, and where it can be; "" where it
    is, or no engine fits.
    """
    asked, memory, needs = plan.asked, plan.memory, plan.memory.needs
    if needs is None or memory.quantises or not memory.fits:
        return ""
    return (
        f"`{asked.recipe.name}` is not quantised on `{asked.target.name}`: that takes "
        f"{size_text(needs.quantise_device)} of the GPU, which has {size_text(memory.device)}; "
        f"with the GPU hidden it takes {_host_to_quantise(needs)}."
    )


def _typical(seen: Forecast, scenario: Scenario) -> str:
    rate = seen.rates.get(scenario)
    return f"{rate.likely.typical:,.2g}" if rate else "-"


def _range(spread: Spread, form: str) -> str:
    """The middle, with both ends."""
    low, high = sorted((spread.low, spread.high))
    ends = f"{form.format(low)} to {form.format(high)}"
    return f"{form.format(spread.typical)} ({ends})"


def _spell(seconds: tuple[float, float]) -> str:
    """Two ends of a time, or one where they are told alike."""
    return " to ".join(dict.fromkeys(map(duration, sorted(seconds))))


def _size(num_bytes: int) -> str:
    return size_text(num_bytes) if num_bytes >= 0 else f"-{size_text(-num_bytes)}"
