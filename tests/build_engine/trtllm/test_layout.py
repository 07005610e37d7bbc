"""The layout is that of the recorded facts, tensors are cut as their layer is, and what has no
kernel is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.config import apply_overrides
from build_engine.errors import ConfigError, RecipeRefused
from build_engine.recipe import load_recipe, recipe_names
from build_engine.trtllm.algorithm import PER_TOKEN, QuantFormat, format_of
from build_engine.trtllm.description import description
from build_engine.trtllm.layout import (
    COLUMN,
    HF_LINEARS,
    LINEAR_TENSORS,
    ROW,
    check_shapes,
    linear_size,
    pack_int4,
    tensors,
    unpack_int4,
)
from tests.build_engine.trtllm.specs import untied_checkpoint

FACTS: dict[str, Any] = json.loads(
    (Path(__file__).parent / "data" / "checkpoint_facts.json").read_text("utf-8")
)
TENSORS = FACTS["checkpoint_tensors"]
WORDS = {"I8": "int8", "F32": "float32", "F8_E4M3": "float8_e4m3fn", "type": "model dtype"}


def _values(group: str) -> list[str]:
    return [fact["name"] for fact in FACTS[group]]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    return untied_checkpoint(tmp_path_factory.mktemp("untied"), vocab_size=256)


@pytest.mark.parametrize("algorithm", ["none", "W8A8_SQ_PER_CHANNEL", "W4A16_AWQ", "FP8", "W8A16"])
def test_the_tensors_of_a_linear_layer_are_those_of_the_facts(algorithm: str) -> None:
    facts = TENSORS[algorithm].get("per_linear") or TENSORS[algorithm]["on_disk"]
    ours = LINEAR_TENSORS[None if algorithm == "none" else algorithm]

    assert ours.keys() == facts.keys()
    for name, (dtype, sizes) in ours.items():
        assert facts[name]["dtype"].startswith(WORDS[dtype])
        assert facts[name]["shape"] == f"[{','.join(sizes)}]".replace("K/g", "K/group")


def test_w4a8_has_two_scales_more_than_awq() -> None:
    extra = LINEAR_TENSORS["W4A8_AWQ"].keys() - LINEAR_TENSORS["W4A16_AWQ"].keys()

    assert extra == TENSORS["W4A8_AWQ"]["on_disk_extra"].keys()
    assert LINEAR_TENSORS["W4A16"] == LINEAR_TENSORS[TENSORS["W4A16"]["as"]]


def test_the_per_token_layer_is_that_of_the_facts(checkpoint: Checkpoint) -> None:
    config = checkpoint.config
    found = tensors(config, QuantFormat(PER_TOKEN, None, "float16"))
    facts = TENSORS[PER_TOKEN]["tensors"]
    outputs = {name: linear_size(config, name)[0] for name in HF_LINEARS}
    sizes = {"H": config.hidden_size, "I": config.intermediate_size, "1": 1}
    prefix = "transformer.layers.1."
    layer = {n.removeprefix(prefix): spec for n, spec in found.items() if n.startswith(prefix)}

    assert layer.keys() == facts.keys()
    for name, spec in layer.items():
        sizes["N"] = sizes["(nq+2*nkv)*d"] = outputs.get(name.rpartition(".")[0], 0)
        expected = tuple(sizes[word] for word in facts[name]["shape"].strip("[]").split(","))
        assert spec.shape == expected, name
    assert layer["input_layernorm.weight"].dtype == "F16"
    assert layer["input_layernorm.scale_to_int"].dtype == "F32"


def test_names_outside_of_the_linears_are_those_of_the_facts(checkpoint: Checkpoint) -> None:
    naming = TENSORS["naming"]
    found = tensors(checkpoint.config, QuantFormat(None, "INT8", "bfloat16"))

    assert {name for name in found if ".layers." not in name} == set(naming["global"])
    linears = {text.split(" ")[0] for text in naming["linears"]}
    assert linears == set(HF_LINEARS) == {*COLUMN, *ROW}
    for text in naming["linears"]:
        if "=HF" in text:
            assert HF_LINEARS[text.split(" ")[0]] == (f"mlp.{text.split('=HF ')[1].rstrip(')')}",)
    for name in ("attention.kv_cache_scaling_factor", *naming["norms"]):
        assert f"transformer.layers.0.{name}" in found


@pytest.mark.parametrize("recipe", recipe_names())
def test_a_description_has_only_keys_that_the_library_takes(
    checkpoint: Checkpoint, recipe: str
) -> None:
    rules = load_recipe(recipe)
    said = description(checkpoint.config, format_of(rules), rules, 2)
    known = {name.removeprefix("llama.") for name in FACTS["pretrained_config"]}
    quantization = said["quantization"]

    assert said.keys() <= known | {"rotary_base", "rotary_scaling"}
    assert isinstance(quantization, dict)
    assert quantization.keys() <= FACTS["quant_config"].keys()
    assert quantization["quant_algo"] in {None, *_values("quant_algo")}
    assert quantization["kv_cache_quant_algo"] in {None, *_values("kv_cache_quant_algo")}
    assert said["mapping"] == {"world_size": 2, "tp_size": 2, "pp_size": 1}
    needed = {n for n, fact in FACTS["pretrained_config"].items() if fact["required"]}
    assert needed <= said.keys()


def test_a_description_keeps_the_rotary_embedding_and_alpha(checkpoint: Checkpoint) -> None:
    rules = apply_overrides(load_recipe("int8_sq"), ["smoothquant_alpha=0.7"])
    said = description(checkpoint.config, format_of(rules), rules, 1)

    assert said["rotary_base"] == 500_000.0
    assert said["rotary_scaling"] == {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    assert isinstance(said["quantization"], dict)
    assert said["quantization"]["smoothquant_val"] == 0.7


def test_int4_values_come_back_from_their_bytes() -> None:
    values = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    packed = pack_int4(values)

    assert packed.shape == (2, 4)
    assert packed[0].view(np.uint8)[0] == 0xC8  # row 0 (-8) in the low half, row 1 (-4) above
    np.testing.assert_array_equal(unpack_int4(packed), values)


@pytest.mark.parametrize(
    ("recipe", "ranks", "changes", "words"),
    [
        ("int8_sq", 1, {"intermediate_size": 736}, "multiple of 64 elements, and `mlp.fc` of this"),
        ("int4_awq", 1, {"intermediate_size": 704}, "multiple of 128 elements, and `mlp.proj`"),
        ("int4_awq", 2, {"intermediate_size": 384}, "has 192 in on each of 2 GPUs"),
        ("int8_wo", 1, {"hidden_size": 416}, "`attention.qkv` of this checkpoint has 416 in"),
    ],
)
def test_a_shape_without_kernels_is_refused(
    tmp_path: Path, recipe: str, ranks: int, changes: dict[str, int], words: str
) -> None:
    config = untied_checkpoint(tmp_path, **changes).config

    with pytest.raises(RecipeRefused) as caught:
        check_shapes(config, format_of(load_recipe(recipe)), ranks)

    assert words in str(caught.value)
    check_shapes(config, format_of(load_recipe("fp16")), ranks)


def test_gpus_that_do_not_divide_the_heads_are_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ConfigError, match=r"tensor_parallel 4 does not divide num_key_value_heads"):
        check_shapes(checkpoint.config, format_of(load_recipe("fp16")), 4)
