"""What TensorRT-LLM engines can honestly do on a GPU type, and in which arithmetic; needs no
library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.target import FIRST_FP8_SM, Detected

if TYPE_CHECKING:
    from build_engine.recipe import Recipe
    from build_engine.target import Target


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
    return None
