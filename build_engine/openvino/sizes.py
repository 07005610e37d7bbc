"""How an OpenVINO engine keeps its parts in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.recipe import BITS
from build_engine.roofline.storage import Storage, grouped_bytes
from build_engine.target import detect_cpu_compute

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules

KV_CACHE_SHARE = 0.6
"""Of the memory that is free once an engine is loaded."""
KV_RESERVED_BYTES = 4
"""Of an element of the KV cache: float32, the widest that a CPU engine keeps."""

_BYTES = {"bf16": 2, "f32": 4}
_MATHS = {"bf16": "bf16", "f32": "fp32"}


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
        cache_share=KV_CACHE_SHARE,
        chunked=True,
    )
