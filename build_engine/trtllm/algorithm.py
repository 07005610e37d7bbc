"""A recipe in the words of TensorRT-LLM: quantisation algorithm, KV cache, type of the rest.

The combinations are those that the checkpoint format has; anything else is refused, because the
library would take it for something similar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from build_engine.recipe import RecipeRules

DType = Literal["bfloat16", "float16"]

DEFAULT_GROUP_SIZE = 128  # of the format's `group_size` where nothing has groups
PER_TOKEN = "W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN"
PER_TENSOR = "W8A8_SQ_PER_CHANNEL"

_ALGORITHMS: dict[tuple[str, str, str, str | None], tuple[str | None, DType]] = {
    # weights, activations, algorithm, activation scales: quant_algo, type of all that is not
    # quantised. INT8 products are scaled in float16, in which SmoothQuant's own rounding costs half
    # as much as in bfloat16; so are INT4 weights against FP8.
    ("bf16", "bf16", "none", None): (None, "bfloat16"),
    ("fp16", "fp16", "none", None): (None, "float16"),
    ("int8", "bf16", "round_to_nearest", None): ("W8A16", "bfloat16"),
    ("int8", "fp16", "round_to_nearest", None): ("W8A16", "float16"),
    ("int4", "bf16", "round_to_nearest", None): ("W4A16", "bfloat16"),
    ("int4", "fp16", "round_to_nearest", None): ("W4A16", "float16"),
    ("int4", "bf16", "awq", None): ("W4A16_AWQ", "bfloat16"),
    ("int4", "fp16", "awq", None): ("W4A16_AWQ", "float16"),
    ("int4", "fp8", "awq", "per_tensor"): ("W4A8_AWQ", "float16"),
    ("int8", "int8", "smoothquant", "per_token"): (PER_TOKEN, "float16"),
    ("int8", "int8", "smoothquant", "per_tensor"): (PER_TENSOR, "float16"),
    ("fp8", "fp8", "max", "per_tensor"): ("FP8", "bfloat16"),
}
# The kernels have no others (fpA_intB_gemm/fpA_intB_gemm_template.h), and say so when they run.
_GROUPS = {"W4A16_AWQ": (64, 128), "W4A8_AWQ": (128,)}
_SHORT = {"bfloat16": "bf16", "float16": "fp16"}


class NoSuchFormat(ValueError):
    """Why TensorRT-LLM has no checkpoint of a recipe; can follow `is refused:`."""


@dataclass(frozen=True, slots=True)
class QuantFormat:
    """How TensorRT-LLM calls what a recipe says. `quant_algo` None is not quantised,
    `kv_cache_quant_algo` None is a cache in `dtype`, the type of all that is not quantised.
    """

    quant_algo: str | None
    kv_cache_quant_algo: Literal["INT8", "FP8"] | None
    dtype: DType
    group_size: int = DEFAULT_GROUP_SIZE

    @property
    def is_plain(self) -> bool:
        """Whether the weights are stored in `dtype`; weight-only ones are quantised when the engine
        is compiled.
        """
        return self.quant_algo in (None, "W8A16", "W4A16")

    @property
    def is_grouped(self) -> bool:
        """Whether `group_size` weights share a scale, and two of them a byte."""
        return self.quant_algo in _GROUPS


def format_of(recipe: RecipeRules) -> QuantFormat:
    """The format of a recipe. Raises NoSuchFormat."""
    kind = (recipe.weights, recipe.activations, recipe.algorithm, recipe.activation_scales)
    if kind not in _ALGORITHMS or not recipe.symmetric:
        form = "" if recipe.symmetric else "asymmetric "
        raise NoSuchFormat(
            f"TensorRT-LLM checkpoints have no {form}{recipe.weights} weights by "
            f"{recipe.algorithm} with {recipe.activations} activations"
        )
    quant_algo, dtype = _ALGORITHMS[kind]
    cache: Literal["INT8", "FP8"] | None = None
    if recipe.kv_cache == "int8":
        cache = "INT8"
    elif recipe.kv_cache == "fp8":
        cache = "FP8"
    elif recipe.kv_cache != _SHORT[dtype]:
        raise NoSuchFormat(
            f"its KV cache is {recipe.kv_cache}, and what it does not quantise is in {dtype} (set "
            f"kv_cache={_SHORT[dtype]}, int8 or fp8)"
        )
    sizes = _GROUPS.get(quant_algo or "")
    group_size = recipe.group_size if sizes and recipe.group_size else DEFAULT_GROUP_SIZE
    if sizes and group_size not in sizes:
        raise NoSuchFormat(
            f"TensorRT-LLM's {quant_algo} kernels take groups of {' or '.join(map(str, sizes))} "
            f"weights, and not of {group_size}"
        )
    return QuantFormat(quant_algo, cache, dtype, group_size)
