"""What OpenVINO engines can honestly do on a CPU, and in which arithmetic; needs no library."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.target import Detected, detect_cpu_compute

if TYPE_CHECKING:
    from build_engine.recipe import Recipe
    from build_engine.target import Target

_EXECUTED = (
    ("bf16", "bf16", "none"),
    ("int8", "bf16", "round_to_nearest"),
    ("int8", "int8", "smoothquant"),
    ("int4", "bf16", "round_to_nearest"),
    ("int4", "bf16", "awq"),
)
"""Weights, activations and algorithm of what is built."""


def compute(target: Target) -> Detected[str]:
    """bf16 where this machine's CPU multiplies bf16, else f32; the same for every CPU target."""
    return detect_cpu_compute()


def refusal(recipe: Recipe, target: Target) -> str | None:
    """Why a recipe cannot be executed as its name says; None if it can.

    Whether this CPU has INT8 arithmetic is asked when an engine is built
    (`build_engine/openvino/activations.py`).
    """
    if "fp16" in (recipe.weights, recipe.activations, recipe.kv_cache):
        return "it computes in FP16, and the CPU engine computes in BF16 or F32"
    if recipe.activations == "fp8":
        return "it computes in FP8, and the CPU engine computes in INT8, BF16 or F32"
    if recipe.uses_fp8:
        return "the CPU engine has no FP8"
    if recipe.activation_scales == "per_tensor":
        return (
            "the scales of its activations come from calibration, and the CPU engine measures them "
            "anew in each token"
        )
    executed = (recipe.weights, recipe.activations, recipe.algorithm)
    if executed not in _EXECUTED:
        weights, activations, algorithm = executed
        return (
            f"the CPU engine has no {weights} weights by {algorithm} with {activations} activations"
        )
    return None
