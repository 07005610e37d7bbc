"""How an OpenVINO engine keeps its parts in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.openvino.activations import channels_per_scale
from build_engine.openvino.quantise import fitting_group_size
from build_engine.recipe import BITS
from build_engine.roofline.memory import BuildNeeds, Elements, Weights, checkpoint_bytes
from build_engine.roofline.storage import CacheShare, Storage, grouped_bytes
from build_engine.target import detect_cpu_compute

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.store.limits import EngineLimits
    from build_engine.target import Target

KV_CACHE_SHARE = 0.6
"""Of the memory that is free once an engine is loaded."""
KV_RESERVED_BYTES = 4
"""Of an element of the KV cache: float32, the widest that a CPU engine keeps."""
KV_BLOCK_TOKENS = 32
"""Tokens of a block of the KV cache on CPUs."""

# Of a checkpoint in 16 bits, by the algorithm; and of an engine's weights when it is loaded, where
# they are not quantised, by the arithmetic: the library widens them to float32 first. Measured on
# checkpoints of 135M and 304M weights (1.0, 1.6 to 2.0, 3.6 to 4.1, 7.2; 3.1): the least, as what
# could work is not to be refused.
_BUILD_SHARES = {"none": 1.0, "round_to_nearest": 1.5, "smoothquant": 3.5, "awq": 3.5}
_LOAD_SHARES = {"bf16": 3.0, "f32": 2.0}
_BYTES = {"bf16": 2, "f32": 4}
_MATHS = {"bf16": "bf16", "f32": "fp32"}


def require_sizes(
    config: LlamaConfig, recipe: RecipeRules, _limits: EngineLimits, _target: Target
) -> None:
    """Raise RecipeRefused where the checkpoint's layers cannot be quantised so. What has room is a
    matter of the machine and the moment (`room.py`).
    """
    if not recipe.is_weight_only:
        channels_per_scale(config)
    if recipe.weights == "int4":
        fitting_group_size(config, recipe)


def build_needs(config: LlamaConfig, recipe: RecipeRules, _limits: EngineLimits) -> BuildNeeds:
    """What making an engine needs of the host: its trial loads it, and may take the most."""
    weights, quantised = file_bytes(config, recipe), recipe.weights in ("int8", "int4")
    making = int(_BUILD_SHARES[recipe.algorithm] * checkpoint_bytes(config))
    return BuildNeeds(
        quantise_device=0,
        quantise_host=0,
        quantise_disk=0,
        build_device=0,
        build_host=max(making, load_bytes(weights, quantised, detect_cpu_compute().value)),
        disk=weights,
    )


def file_bytes(config: LlamaConfig, recipe: RecipeRules) -> int:
    """Of an engine's weights on the disk: those that are not quantised have 16 bits there, whatever
    this CPU computes in.
    """
    kept = storage(recipe, config)
    return Weights.of(
        Elements.of(config),
        replace(kept, linear_bytes=min(2, kept.linear_bytes), table_bytes=min(2, kept.table_bytes)),
    ).resident


def load_bytes(weights: int, quantised: bool, compute: str) -> int:
    """What an engine with so many bytes of weights takes at most while it is loaded."""
    return weights if quantised else int(_LOAD_SHARES[compute] * weights)


def request_bytes(config: LlamaConfig, limits: EngineLimits) -> int:
    """Of the KV cache of one request of the greatest length: whole blocks, and a spare one."""
    blocks = -(-limits.max_seq_len // KV_BLOCK_TOKENS) + 1
    return blocks * KV_BLOCK_TOKENS * Elements.of(config).kv_token * KV_RESERVED_BYTES


def storage(recipe: RecipeRules, config: LlamaConfig) -> Storage:
    """How an engine of the recipe keeps its parts on this machine, whose CPU computes in bf16 or in
    float32. Where weights are quantised, embedding and head are in INT8; they are one table where
    the checkpoint has one.
    """
    compute = detect_cpu_compute().value
    wide = _BYTES[compute]
    quantised = recipe.weights in ("int8", "int4")
    return Storage(
        linear_bytes=(
            grouped_bytes(BITS[recipe.weights], recipe.group_size, recipe.symmetric)
            if quantised
            else wide
        ),
        table_bytes=1 if quantised else wide,
        shares_table=config.tie_word_embeddings,
        kv_bytes=1 if recipe.kv_cache == "int8" else wide,
        kv_reserved_bytes=KV_RESERVED_BYTES,
        activation_bytes=wide,
        linear_math=_MATHS[compute] if recipe.is_weight_only else recipe.activations,
        other_math=_MATHS[compute],
        cache_share=CacheShare(KV_CACHE_SHARE, KV_CACHE_SHARE),
        chunked=True,
    )
