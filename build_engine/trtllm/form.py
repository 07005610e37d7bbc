"""What the form of a checkpoint means for its engine, by the rules of the builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.trtllm.algorithm import QuantFormat

WEIGHT_ONLY = ("W8A16", "W4A16")
_FP8 = ("FP8", "W4A8_AWQ")


def is_calibrated(form: QuantFormat) -> bool:
    """Whether Model Optimizer, and so the whole model in memory, is needed."""
    return not form.is_plain or form.kv_cache_quant_algo == "INT8"


def computes_in_fp8(form: QuantFormat) -> bool:
    """Whether matrix products are in FP8."""
    return form.quant_algo in _FP8


def reads_paged_context(form: QuantFormat) -> bool:
    """Whether the prompt phase can read a paged KV cache, which chunked context and the reuse of KV
    blocks need: not one in INT8, nor one in FP8 without FP8 arithmetic.
    """
    if form.kv_cache_quant_algo == "FP8":
        return computes_in_fp8(form)
    return form.kv_cache_quant_algo is None
