"""How large an engine may be: the memory that it takes, and the sizes that a target has no room
for.

The estimate itself is `build_engine/roofline/memory.py`; what TensorRT-LLM keeps in how many bytes
is said here. `fit.py` chooses sizes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError
from build_engine.progress import size_text
from build_engine.recipe import BITS, load_recipe, recipe_names
from build_engine.roofline.memory import (
    BuildNeeds,
    MemoryEstimate,
    checkpoint_bytes,
)
from build_engine.roofline.memory import estimate as memory_of
from build_engine.roofline.room import PAGE, Room
from build_engine.roofline.storage import CacheShare, Storage, grouped_bytes
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.form import is_calibrated, reads_paged_context
from build_engine.trtllm.layout import check_shapes
from build_engine.trtllm.support import refusal

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target

KV_CACHE_SHARE = 0.9  # of the memory that is free after loading: the library's own default
# Published engines have 0.90 on small GPUs and up to 0.99 on large ones: what a runtime needs does
# not grow with the GPU. That it is 2 GB is an assumption.
_CACHE_SHARE = CacheShare(KV_CACHE_SHARE, 0.95, 2 * 10**9)

# of the weights: the builder holds a checkpoint and the engine at once (TensorRT-LLM issues 102,
# 346, 1609)
_HOST_SHARE = 2
_DISK_SHARE = 2  # of the weights: the checkpoint and the engine


def storage(recipe: RecipeRules, _config: LlamaConfig) -> Storage:
    """How an engine of the recipe keeps its parts. Embedding and head are apart, in 16 bits, even
    where the checkpoint has one table for both.
    """
    form = format_of(recipe)
    group = form.group_size if form.is_grouped else None
    kv_bytes = BITS[recipe.kv_cache] / 8
    plain = "bf16" if form.dtype == "bfloat16" else "fp16"
    return Storage(
        linear_bytes=grouped_bytes(BITS[recipe.weights], group, symmetric=True),
        table_bytes=2,
        shares_table=False,
        kv_bytes=kv_bytes,
        kv_reserved_bytes=kv_bytes,
        activation_bytes=2,
        linear_math=plain if recipe.is_weight_only else recipe.activations,
        other_math=plain,
        cache_share=_CACHE_SHARE,
        chunked=reads_paged_context(form),
    )


def estimate(config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits) -> MemoryEstimate:
    """The memory of an engine on each of its GPUs."""
    return memory_of(config, storage(recipe, config), limits)


def build_needs(config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits) -> BuildNeeds:
    """What making an engine needs, on the device of each GPU and on the host.

    A calibrated checkpoint is quantised as a whole in 16 bits, and exported as large again before
    it is split; any other is copied, one tensor at a time.
    """
    needed = estimate(config, recipe, limits)
    everything = needed.weights * limits.tensor_parallel
    whole = checkpoint_bytes(config)
    calibrated = is_calibrated(format_of(recipe))
    largest = 2 * max(map(math.prod, config.tensor_shapes.values()))
    return BuildNeeds(
        quantise_device=whole if calibrated else 0,
        quantise_host=whole if calibrated else largest,
        quantise_disk=(_DISK_SHARE if calibrated else 1) * everything,
        build_device=needed.least,
        build_host=_HOST_SHARE * everything,
        disk=_DISK_SHARE * everything,
    )


def device_bytes(target: Target) -> int:
    """The memory of one of its GPUs, as the driver offers it to programs."""
    assert target.memory_gib is not None, "a target of kind gpu has it"
    return int(target.memory_gib * 2**30)


def cache_share(
    config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits, target: Target
) -> float:
    """What the executor takes for the KV cache of the memory that such an engine leaves free."""
    needed = estimate(config, recipe, limits)
    free = device_bytes(target) - needed.weights - needed.activations
    return _CACHE_SHARE.of(free)


def require_sizes(
    config: LlamaConfig, recipe: RecipeRules, limits: EngineLimits, target: Target
) -> None:
    """Raise ConfigError where an engine of these sizes cannot be built or used on the target, and
    RecipeRefused where the checkpoint's shapes have no kernels.
    """
    form = format_of(recipe)
    check_shapes(config, form, limits.tensor_parallel)
    if not reads_paged_context(form) and limits.max_num_tokens < limits.max_input_len:
        raise ConfigError(
            f"limits.max_num_tokens {limits.max_num_tokens} is less than the longest prompt "
            f"({limits.max_input_len} tokens), and with a KV cache in {recipe.kv_cache} "
            "TensorRT-LLM reads a prompt in one iteration; raise it to the prompt's length, or "
            "give a shorter one with --max-input-len."
        )
    if limits.max_num_tokens < PAGE:
        raise ConfigError(
            f"limits.max_num_tokens {limits.max_num_tokens} is less than a page of the KV cache, "
            f"to which TensorRT-LLM would raise it; give {PAGE} or more."
        )
    kept, room = storage(recipe, config), _room(config, target)
    if not room.fits(kept, limits):
        others = _others(room, recipe, limits, target)
        raise ConfigError(room.lack(recipe.name, kept, limits, others))


def _room(config: LlamaConfig, target: Target) -> Room:
    memory = device_bytes(target)
    return Room(
        config=config,
        device_bytes=memory,
        memory="GPU",
        source=f"target `{target.name}` has {size_text(memory)}",
    )


def _others(room: Room, recipe: RecipeRules, limits: EngineLimits, target: Target) -> Iterator[str]:
    """Smaller weights, and more GPUs, with which it fits as it is."""
    config, kept = room.config, storage(recipe, room.config)
    able = (other for name in recipe_names() if not refusal(other := load_recipe(name), target))
    yield from room.recipes(kept, limits, ((other.name, storage(other, config)) for other in able))
    for parts in (2, 4, 8):
        split = replace(limits, tensor_parallel=parts * limits.tensor_parallel)
        if config.num_kv_heads % split.tensor_parallel:
            continue
        if room.fits(kept, split):
            option = f"--tensor-parallel {split.tensor_parallel}"
            yield f"have other programs execute it on several GPUs (`build {option}`)"
            return
