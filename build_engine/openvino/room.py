"""Whether this machine has memory and disk for an engine: asked before it is built, and again
before it is loaded.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault
from build_engine.free_disk import require_disk
from build_engine.free_memory import available_bytes, require_free
from build_engine.openvino.sizes import (
    KV_BLOCK_TOKENS,
    KV_CACHE_SHARE,
    KV_RESERVED_BYTES,
    build_needs,
    file_bytes,
    load_bytes,
    request_bytes,
)
from build_engine.progress import size_text
from build_engine.roofline.memory import Elements

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.store.limits import EngineLimits
    from build_engine.store.spec import EngineSpec

_SMALLER = "of a smaller checkpoint or by a recipe with smaller weights"
_LESS = f"build it {_SMALLER}"
_SPARE_TOKENS = 2 * KV_BLOCK_TOKENS  # of a block that is begun, and of the spare one


def require_build(spec: EngineSpec, folder: Path) -> None:
    """Return where the engine of `spec` can be built into the existing `folder`, and then answer a
    request. Raises EnvironmentFault.
    """
    config, recipe = spec.checkpoint.config, spec.recipe
    needed = build_needs(config, recipe, spec.limits)
    weights, name = file_bytes(config, recipe), f"`{recipe.name}` of this checkpoint"
    require_free(needed.build_host, f"building {name} takes", _LESS)
    require_request(config, spec.limits, weights, name)
    require_disk(folder, needed.disk, "this engine needs")


def require_loading(weights: int, precision: str, compute: str, what: str) -> None:
    """Return where an engine with so many bytes of weights in a recipe's `precision` can be loaded.
    Raises EnvironmentFault.
    """
    quantised = precision in ("int8", "int4")
    require_free(load_bytes(weights, quantised, compute), f"loading {what} takes", _LESS)


def require_request(config: LlamaConfig, limits: EngineLimits, weights: int, what: str) -> None:
    """Return where an engine with so many bytes of weights can answer a request of its greatest
    length. Raises EnvironmentFault with what to lower and by how much.
    """
    free, request = available_bytes(), request_bytes(config, limits)
    needed = weights + int(request / KV_CACHE_SHARE)
    if needed <= free:
        return
    raise EnvironmentFault(
        f"{size_text(free)} of host memory is free here, and {what} needs {size_text(needed)}, "
        f"{size_text(needed - free)} more: {size_text(weights)} of weights, and "
        f"{size_text(request)} of KV cache for one request of {limits.max_seq_len:,} tokens, which "
        f"takes {KV_CACHE_SHARE:.0%} of what is left; end other programs, raise the container's "
        f"limit, or build it {_smaller(config, limits, free - weights)}."
    )


def _smaller(config: LlamaConfig, limits: EngineLimits, left: int) -> str:
    """With the longest prompts that have room, or smaller weights where none has."""
    each = Elements.of(config).kv_token * KV_RESERVED_BYTES
    tokens = int(left * KV_CACHE_SHARE) // each - _SPARE_TOKENS
    prompt = tokens - limits.max_new_tokens
    if prompt < 1:
        return _SMALLER
    return (
        f"for shorter prompts (lower --max-input-len by {limits.max_input_len - prompt:,} to "
        f"{prompt})"
    )
