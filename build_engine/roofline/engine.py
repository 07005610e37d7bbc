"""The limits of one engine on a machine, and what its steps are likely to reach of them there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.roofline.limits import Efficiency, Roofline
from build_engine.roofline.memory import Elements, Weights
from build_engine.roofline.published import Seen
from build_engine.roofline.work import Work

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.roofline.peaks import MeasuredSteps, Peaks
    from build_engine.roofline.storage import Storage
    from build_engine.roofline.work import Lengths


def engine_roofline(
    config: LlamaConfig, storage: Storage, lengths: Lengths, peaks: Peaks, requests: int
) -> Roofline | None:
    """The limits with so many requests at once; None where no peak is known for a precision that
    the engine computes in. Weights that the machine's cache holds are not read from its memory.
    """
    precisions = (storage.linear_math, storage.other_math)
    if not {*precisions} <= peaks.flops.keys():
        return None
    elements = Elements.of(config)
    step_bytes = Weights.of(elements, storage).read_per_step
    linear, other = (peaks.rate(precision) for precision in precisions)
    return Roofline(
        work=Work.of(config, lengths),
        lengths=lengths,
        step_bytes=step_bytes if step_bytes > peaks.cache_bytes else 0,
        kv_token_bytes=elements.kv_token * storage.kv_bytes,
        linear_peak=linear.best,
        other_peak=other.best,
        bandwidth=peaks.bandwidth,
        requests=requests,
        few=(linear, other) if peaks.by_rows else None,
    )


def reached_here(
    limits: Roofline, config: LlamaConfig, recipe: RecipeRules, steps: MeasuredSteps
) -> tuple[Roofline, Seen]:
    """The same limits at the speed of products with the recipe's own kind of weights, and what is
    reached of them by what was measured of steps.
    """
    own = steps.weights.get(recipe.weights) if recipe.is_weight_only else None
    if own is not None and limits.few is not None:
        limits = replace(limits, linear_peak=own.best, few=(own, limits.few[1]))
    overhead = steps.costs.of(config)
    low, typical, high = (
        Efficiency(compute, bandwidth, overhead)
        for compute, bandwidth in (steps.slowest, steps.middle, (1.0, 1.0))
    )
    source = f"{low.compute:.2f} to 1 of the arithmetic, and what steps cost beside it"
    return limits, Seen(low=low, typical=typical, high=high, source=source)
