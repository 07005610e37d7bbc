"""Recipes: how weights, activations and the KV cache are quantised, and where that is honest.

A recipe is named as TensorRT-LLM names its qformats. A target that cannot compute in the precision
of a recipe is refused, never served by a silent substitute.
"""

from __future__ import annotations

import json
from typing import Annotated, Literal, TypeAlias, get_args

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from build_engine.backend import backend
from build_engine.config import config_names, load_config
from build_engine.errors import RecipeRefused
from build_engine.target import Target
from build_engine.validation import Frozen, Name, Text

KvPrecision: TypeAlias = Literal["bf16", "fp16", "int8", "fp8"]
KV_PRECISIONS: tuple[str, ...] = get_args(KvPrecision)
BITS = {"bf16": 16, "fp16": 16, "int8": 8, "fp8": 8, "int4": 4}
_PLAIN = ("bf16", "fp16")  # not quantised


class RecipeRules(Frozen):
    """Precisions and the algorithm that reaches them: all of a recipe that decides an engine.

    `activations` is the precision in which matrix products are computed. `group_size` is the number
    of weights that share one scale, None for one scale per output channel; only 4-bit weights have
    groups. `activation_scales` is where the scale of quantised activations comes from: `per_token`
    is measured while the engine runs, `per_tensor` in the calibration. `smoothquant_alpha` is the
    share of the activations' range that SmoothQuant moves into the weights, 0 to 1.
    `calibration_samples` is the number of prompts that the algorithm is given, 0 for none; the CPU
    engine looks at the first of them, up to `MAX_CALIBRATION_TOKENS`. An INT8 KV cache may be
    calibrated whatever the algorithm is.
    """

    name: Name
    weights: Literal["bf16", "fp16", "int8", "int4", "fp8"]
    activations: Literal["bf16", "fp16", "int8", "fp8"]
    kv_cache: KvPrecision
    algorithm: Literal["none", "round_to_nearest", "smoothquant", "awq", "max"]
    group_size: PositiveInt | None = None
    symmetric: bool = True
    activation_scales: Literal["per_token", "per_tensor"] | None = None
    smoothquant_alpha: Annotated[float, Field(ge=0, le=1)] | None = None
    calibration_samples: NonNegativeInt = 0

    @model_validator(mode="after")
    def _consistent(self) -> RecipeRules:
        if (self.weights == "int4") != (self.group_size is not None):
            raise ValueError("`group_size` goes with int4 weights, and only with them.")
        if (self.weights in _PLAIN) != (self.algorithm == "none"):
            raise ValueError("`algorithm` is none for bf16 and fp16 weights, and only for them.")
        if self.is_weight_only != (self.activation_scales is None):
            raise ValueError("`activation_scales` goes with int8 and fp8 activations, and only so.")
        if (self.algorithm == "smoothquant") != (self.smoothquant_alpha is not None):
            raise ValueError("`smoothquant_alpha` goes with smoothquant, and only with it.")
        if self._algorithm_needs_prompts and self.calibration_samples == 0:
            raise ValueError(f"`{self.algorithm}` needs more than 0 `calibration_samples`.")
        may_have = self._algorithm_needs_prompts or self.kv_cache == "int8"
        if self.calibration_samples > 0 and not may_have:
            raise ValueError(f"`{self.algorithm}` needs exactly 0 `calibration_samples`.")
        return self

    @property
    def _algorithm_needs_prompts(self) -> bool:
        return self.algorithm in ("smoothquant", "awq", "max")

    @property
    def is_calibrated(self) -> bool:
        """Whether calibration prompts are looked at."""
        return self.calibration_samples > 0

    @property
    def is_weight_only(self) -> bool:
        """Whether matrix products are computed in 16 bits (or more), whatever the weights are."""
        return self.activations in _PLAIN

    @property
    def uses_fp8(self) -> bool:
        """Whether anything is in FP8."""
        return "fp8" in (self.weights, self.activations, self.kv_cache)


class Recipe(RecipeRules):
    """A recipe as it is configured: its rules, a title for people, where it helps and what it
    costs in words, and where the rules come from.
    """

    title: Text
    helps: str = ""
    costs: str = ""
    sources: Annotated[list[Text], Field(min_length=1)]

    @property
    def rules(self) -> RecipeRules:
        """What decides an engine."""
        values = {name: getattr(self, name) for name in RecipeRules.model_fields}
        return RecipeRules.model_construct(**values)  # checked already, as a recipe


def recipe_names() -> list[str]:
    """Names of the shipped recipes."""
    return config_names("recipes")


def load_recipe(name: str) -> Recipe:
    """A shipped recipe by name, or one from a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("recipes", name, Recipe)


def changes(rules: RecipeRules) -> dict[str, object]:
    """The fields in which these are not the rules of the shipped recipe of their name, as plain
    JSON values; none for a name that is not shipped.
    """
    if rules.name not in recipe_names():
        return {}
    shipped = load_recipe(rules.name).rules.model_dump(mode="json")
    ours = rules.model_dump(mode="json")
    return {field: value for field, value in ours.items() if shipped[field] != value}


def setting_text(value: object) -> str:
    """A plain JSON value as `--set` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def refusal(recipe: Recipe, target: Target) -> str | None:
    """Why `target` cannot honestly execute `recipe`, with the nearest recipes; None if it can."""
    reason = _reason(recipe, target)
    if reason is None:
        return None
    alternatives = [_suggested(name, recipe) for name in _nearest(recipe, target)]
    remedy = f"; try {' or '.join(alternatives)}" if alternatives else ""
    return f"`{recipe.name}` is refused on `{target.name}`: {reason}{remedy}."


def require(recipe: Recipe, target: Target) -> None:
    """Raise RecipeRefused when `target` cannot honestly execute `recipe`."""
    if message := refusal(recipe, target):
        raise RecipeRefused(message)


def _reason(recipe: Recipe, target: Target) -> str | None:
    return backend(target.backend).refusal_of(recipe, target)


def _suggested(name: str, refused: Recipe) -> str:
    """A recipe to try; where it has the name of the refused one, that without its changes."""
    if name != refused.name:
        return f"`{name}`"
    shipped = load_recipe(name).rules.model_dump(mode="json")
    fields = (f"{field}={setting_text(shipped[field])}" for field in changes(refused.rules))
    return f"`{name}` as it is shipped ({', '.join(fields)})"


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
