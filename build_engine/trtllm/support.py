"""What TensorRT-LLM engines can honestly do on a GPU type, and in which arithmetic; needs no
library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.target import FIRST_FP8_SM, Detected
from build_engine.trtllm.pin import PIN

if TYPE_CHECKING:
    from build_engine.recipe import Recipe
    from build_engine.target import Target

SM_WITHOUT_INT = range(100, 120)  # data-centre Blackwell: rule 11 of the builder


def compute(target: Target) -> Detected[str]:
    """The SM of the GPU type: `sm_80` for an A30."""
    return Detected(f"sm_{target.sm}", f"target `{target.name}`")


def refusal(recipe: Recipe, target: Target) -> str | None:
    """Why a recipe cannot be executed as its name says; None if it can."""
    if recipe.uses_fp8 and target.sm is not None and target.sm < FIRST_FP8_SM:
        return (
            f"it needs FP8 arithmetic, and NVIDIA GPUs have no FP8 tensor cores before "
            f"sm_{FIRST_FP8_SM} (this target is sm_{target.sm})"
        )
    needed = "fp8" if recipe.uses_fp8 else recipe.activations
    if needed not in target.dense_tflops:
        return f"it computes in {needed.upper()}, for which the target states no peak"
    if target.sm is not None and target.sm in SM_WITHOUT_INT and "int" in _integers(recipe):
        return (
            f"TensorRT-LLM {PIN.tensorrt_llm} has no INT8 and INT4 kernels for sm_{target.sm}, and "
            "its builder stops at them"
        )
    if recipe.kv_cache == "int8" and not recipe.is_calibrated:
        return (
            "the scales of an INT8 KV cache are calibrated, and `calibration_samples` is 0 (set it "
            "to 512)"
        )
    return _format_refusal(recipe)


def _integers(recipe: Recipe) -> str:
    return f"{recipe.weights} {recipe.activations} {recipe.kv_cache}"


def _format_refusal(recipe: Recipe) -> str | None:
    """Why the checkpoint format has no place for a combination."""
    from build_engine.trtllm.algorithm import NoSuchFormat, format_of

    try:
        format_of(recipe)
    except NoSuchFormat as reason:
        return str(reason)
    return None
