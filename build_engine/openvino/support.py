"""What OpenVINO engines can honestly do on a CPU, and in which arithmetic; needs no library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.target import Detected, detect_cpu_compute

if TYPE_CHECKING:
    from build_engine.recipe import Recipe
    from build_engine.target import Target


def compute(target: Target) -> Detected[str]:
    """bf16 where this machine's CPU multiplies bf16, else f32; the same for every CPU target."""
    return detect_cpu_compute()


def refusal(recipe: Recipe, target: Target) -> str | None:
    """Why a recipe cannot be executed as its name says; None if it can."""
    if "fp16" in (recipe.weights, recipe.activations, recipe.kv_cache):
        return "it computes in FP16, and the CPU engine computes in BF16 or F32"
    if not recipe.is_weight_only:
        return (
            f"it computes in {recipe.activations.upper()}, and the CPU engine executes weight-only "
            "recipes"
        )
    return "the CPU engine has no FP8" if recipe.uses_fp8 else None
