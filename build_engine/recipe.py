"""Recipes: how weights, activations and the KV cache are quantised, and where that is honest.

A recipe is named as TensorRT-LLM names its qformats. A target that cannot compute in the precision
of a recipe is refused, never served by a silent substitute.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from build_engine.config import Frozen, Name, Text, config_names, load_config
from build_engine.errors import RecipeRefused
from build_engine.target import FIRST_FP8_SM, Target

BITS = {"bf16": 16, "int8": 8, "fp8": 8, "int4": 4}


class Recipe(Frozen):
    """Precisions and the algorithm that reaches them.

    `activations` is the precision in which matrix products are computed. `group_size` is the number
    of weights that share one scale, None for one scale per output channel; only 4-bit weights have
    groups. `calibration_samples` is the number of prompts that the algorithm is given, 0 for none;
    the CPU engine looks at the first of them, up to `MAX_CALIBRATION_TOKENS`.
    """

    name: Name
    title: Text
    weights: Literal["bf16", "int8", "int4", "fp8"]
    activations: Literal["bf16", "int8", "fp8"]
    kv_cache: Literal["bf16", "int8", "fp8"]
    algorithm: Literal["none", "round_to_nearest", "smoothquant", "awq", "max"]
    group_size: PositiveInt | None = None
    symmetric: bool = True
    calibration_samples: NonNegativeInt = 0
    sources: Annotated[list[Text], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if (self.weights == "int4") != (self.group_size is not None):
            raise ValueError("`group_size` goes with int4 weights, and only with them.")
        if (self.weights == "bf16") != (self.algorithm == "none"):
            raise ValueError("`algorithm` is none for bf16 weights, and only for them.")
        if self.is_calibrated != (self.calibration_samples > 0):
            needs = "more than" if self.is_calibrated else "exactly"
            raise ValueError(f"`{self.algorithm}` needs {needs} 0 `calibration_samples`.")
        return self

    @property
    def is_calibrated(self) -> bool:
        """Whether the algorithm looks at calibration prompts."""
        return self.algorithm in ("smoothquant", "awq", "max")

    @property
    def is_weight_only(self) -> bool:
        """Whether matrix products are computed in bf16 (or wider), whatever the weights are."""
        return self.activations == "bf16"


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return config_names("recipes")


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or one from a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("recipes", name, Recipe)


def changes(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a recipe, as an engine's identity holds it, in which it is not the shipped one
    of its name; none for a name that is not shipped.
    """
    if recipe["name"] not in recipe_names():
        return {}
    shipped = load_recipe(recipe["name"]).model_dump(mode="json")
    return {field: value for field, value in recipe.items() if shipped.get(field) != value}


def refusal(recipe: Recipe, target: Target) -> str | None:
    """Why `target` cannot honestly execute `recipe`, with the nearest recipes; None if it can."""
    reason = _reason(recipe, target)
    if reason is None:
        return None
    alternatives = _nearest(recipe, target)
    remedy = f"; try {' or '.join(f'`{name}`' for name in alternatives)}" if alternatives else ""
    return f"`{recipe.name}` is refused on `{target.name}`: {reason}{remedy}."


def require(recipe: Recipe, target: Target) -> None:
    """Raise RecipeRefused when `target` cannot honestly execute `recipe`."""
    if message := refusal(recipe, target):
        raise RecipeRefused(message)


def _reason(recipe: Recipe, target: Target) -> str | None:
    uses_fp8 = "fp8" in (recipe.weights, recipe.activations, recipe.kv_cache)
    if target.kind == "cpu":
        if not recipe.is_weight_only:
            return (
                f"it computes in {recipe.activations.upper()}, "
                "and the CPU engine executes weight-only recipes"
            )
        return "the CPU engine has no FP8" if uses_fp8 else None
    if uses_fp8 and target.sm is not None and target.sm < FIRST_FP8_SM:
        return (
            f"it needs FP8 arithmetic, and NVIDIA GPUs have no FP8 tensor cores before "
            f"sm_{FIRST_FP8_SM} (this target is sm_{target.sm})"
        )
    needed = "fp8" if uses_fp8 else recipe.activations
    if needed not in target.dense_tflops:
        return f"it computes in {needed.upper()}, for which the target states no peak"
    return None


def _nearest(recipe: Recipe, target: Target) -> list[str]:
    """One or two shipped recipes that `target` executes: nearest in weights, and in arithmetic."""
    shipped = (load_recipe(name) for name in recipe_names())
    options = [other for other in shipped if _reason(other, target) is None]
    if not options:
        return []

    def weights(other: Recipe) -> int:
        return abs(BITS[other.weights] - BITS[recipe.weights])

    def arithmetic(other: Recipe) -> int:
        return abs(BITS[other.activations] - BITS[recipe.activations])

    def algorithm(other: Recipe) -> bool:
        return other.algorithm != recipe.algorithm

    by_weights = min(options, key=lambda o: (weights(o), arithmetic(o), algorithm(o)))
    by_arithmetic = min(options, key=lambda o: (arithmetic(o), weights(o), algorithm(o)))
    return list(dict.fromkeys([by_weights.name, by_arithmetic.name]))
