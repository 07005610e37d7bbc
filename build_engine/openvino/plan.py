"""What building an engine for a CPU would do: its sizes and what it is loaded with, each with its
reason, and what this machine has for it. Nothing is built or written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.free_memory import available_bytes
from build_engine.openvino.compile import runtime_properties
from build_engine.openvino.sizes import (
    KV_CACHE_SHARE,
    build_needs,
    file_bytes,
    request_bytes,
    storage,
)
from build_engine.planned import PlannedBuild, Setting
from build_engine.progress import size_text
from build_engine.roofline.memory import estimate

if TYPE_CHECKING:
    from build_engine.sized import SizeReasons
    from build_engine.store.spec import EngineSpec


def planned(spec: EngineSpec, why: SizeReasons) -> PlannedBuild:
    """The plan for `spec`. Raises RecipeRefused for a checkpoint whose layers have no kernels."""
    return PlannedBuild(
        title=f"{spec.checkpoint.name} for {spec.target.title}: {spec.recipe.title}",
        program=None,
        settings=_sizes(spec, why),
        execution=(*_properties(spec), _cache(spec)),
        expected=(),
        notes=_notes(spec),
    )


def _sizes(spec: EngineSpec, why: SizeReasons) -> tuple[Setting, ...]:
    limits = spec.limits
    return (
        Setting(
            "max_batch_size",
            str(limits.max_batch_size),
            f"requests in flight at once: {why.max_batch_size}",
        ),
        Setting(
            "max_input_len", str(limits.max_input_len), f"the longest prompt, {why.max_input_len}"
        ),
        Setting(
            "max_seq_len",
            str(limits.max_seq_len),
            f"the longest prompt and answer, {why.max_seq_len}",
        ),
        Setting(
            "max_num_tokens",
            str(limits.max_num_tokens),
            f"tokens of an iteration: {why.max_num_tokens}; longer prompts are read in chunks",
        ),
    )


def _properties(spec: EngineSpec) -> tuple[Setting, ...]:
    from build_engine.openvino.activations import channels_per_scale

    recipe = spec.recipe
    per_scale = 0 if recipe.is_weight_only else channels_per_scale(spec.checkpoint.config)
    precision, cache, group = runtime_properties(spec.compute, recipe.kv_cache, per_scale).items()
    return (
        Setting(*precision, "what this CPU multiplies in"),
        Setting(*cache, f"the recipe's KV cache, {recipe.kv_cache}"),
        Setting(
            *group,
            "activations are not quantised"
            if recipe.is_weight_only
            else "activations of a token that share a scale",
        ),
    )


def _cache(spec: EngineSpec) -> Setting:
    """The KV cache that it would get now."""
    config, limits = spec.checkpoint.config, spec.limits
    request = request_bytes(config, limits)
    free = max(0, available_bytes() - file_bytes(config, spec.recipe))
    fitting = int(free * KV_CACHE_SHARE) // request
    batch = limits.max_batch_size
    if fitting >= batch:
        value, why = request * batch, f"all {batch} requests at their greatest length"
    else:
        value = int(free * KV_CACHE_SHARE)
        why = f"{fitting} of {batch} requests of the greatest length; the others wait"
    return Setting(
        "KV cache",
        size_text(value),
        f"{why}: at most {KV_CACHE_SHARE:.0%} of the {size_text(free)} that are free here now, "
        "beside its weights",
    )


def _notes(spec: EngineSpec) -> tuple[str, ...]:
    config, recipe = spec.checkpoint.config, spec.recipe
    needs, request = build_needs(config, recipe, spec.limits), request_bytes(config, spec.limits)
    needed = estimate(config, storage(recipe, config), spec.limits)
    return (
        f"memory, estimated: weights {size_text(file_bytes(config, recipe))}, activations "
        f"{size_text(needed.activations)}, KV cache {size_text(request)} for a request of "
        f"{spec.limits.max_seq_len} tokens",
        f"building takes about {size_text(needs.build_host)} of host memory and "
        f"{size_text(needs.disk)} of disk; {size_text(available_bytes())} of memory are free here "
        "now",
    )
