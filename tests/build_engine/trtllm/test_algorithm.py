"""Each shipped recipe has its TensorRT-LLM algorithm, KV cache and type, and nothing is guessed."""

from __future__ import annotations

import pytest

from build_engine.config import apply_overrides
from build_engine.recipe import load_recipe, recipe_names
from build_engine.trtllm.algorithm import NoSuchFormat, QuantFormat, format_of

EXPECTED = {
    "bf16": QuantFormat(None, None, "bfloat16"),
    "fp16": QuantFormat(None, None, "float16"),
    "int8_wo": QuantFormat("W8A16", None, "bfloat16"),
    "int4_wo": QuantFormat("W4A16", None, "bfloat16"),
    "int4_awq": QuantFormat("W4A16_AWQ", None, "bfloat16"),
    "w4a8_awq": QuantFormat("W4A8_AWQ", "FP8", "float16"),
    "int8_sq": QuantFormat("W8A8_SQ_PER_CHANNEL_PER_TOKEN_PLUGIN", "INT8", "float16"),
    "int8_sq_static": QuantFormat("W8A8_SQ_PER_CHANNEL", "INT8", "float16"),
    "fp8": QuantFormat("FP8", "FP8", "bfloat16"),
}


def test_every_shipped_recipe_has_its_format() -> None:
    assert {name: format_of(load_recipe(name)) for name in recipe_names()} == EXPECTED


def test_the_kv_cache_is_an_axis_of_its_own() -> None:
    for cache, algo in (("fp16", None), ("int8", "INT8"), ("fp8", "FP8")):
        recipe = apply_overrides(load_recipe("int8_sq_static"), [f"kv_cache={cache}"])
        assert format_of(recipe).kv_cache_quant_algo == algo
        assert format_of(recipe).quant_algo == "W8A8_SQ_PER_CHANNEL"


def test_groups_are_those_of_the_recipe_where_the_format_has_any() -> None:
    awq = apply_overrides(load_recipe("int4_awq"), ["group_size=64"])
    weight_only = apply_overrides(load_recipe("int4_wo"), ["group_size=64"])

    assert (format_of(awq).group_size, format_of(awq).is_grouped) == (64, True)
    assert (format_of(weight_only).group_size, format_of(weight_only).is_grouped) == (128, False)


def test_what_the_format_lacks_is_no_format() -> None:
    recipe = apply_overrides(load_recipe("fp8"), ["activation_scales=per_token"])

    with pytest.raises(NoSuchFormat, match="no fp8 weights by max with fp8 activations"):
        format_of(recipe)


@pytest.mark.parametrize(
    ("recipe", "size", "told"),
    [
        ("int4_awq", 32, "W4A16_AWQ kernels take groups of 64 or 128 weights, and not of 32"),
        ("w4a8_awq", 64, "W4A8_AWQ kernels take groups of 128 weights, and not of 64"),
    ],
)
def test_groups_without_kernels_are_no_format(recipe: str, size: int, told: str) -> None:
    changed = apply_overrides(load_recipe(recipe), [f"group_size={size}"])

    with pytest.raises(NoSuchFormat, match=told):
        format_of(changed)
