"""Checkpoints are written tensor by tensor in TensorRT-LLM's layout, whole for each GPU, from the
weights themselves or from an export that is complete.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import build_engine.trtllm.quantise as quantise_module
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.checkpoint.safetensors_file import read_tensors
from build_engine.errors import CheckpointError, EnvironmentFault, RunFailed
from build_engine.progress import NullProgress
from build_engine.trtllm.modelopt import library_versions
from build_engine.trtllm.quantise import quantise
from build_engine.trtllm.shards import to_bfloat16
from tests.build_engine.checkpoints import write_weights
from tests.build_engine.specs import versions
from tests.build_engine.trtllm.specs import RandomExport, gpu_spec, untied_checkpoint, written

LAYER = "transformer.layers.1."


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return untied_checkpoint(tmp_path / "untied", dtype="BF16", num_shards=2)


@pytest.fixture
def export(monkeypatch: pytest.MonkeyPatch) -> RandomExport:
    instead = RandomExport()
    monkeypatch.setattr(quantise_module, "run_job", instead)
    return instead


def new(tmp_path: Path, name: str = "out") -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name


@pytest.mark.parametrize(
    ("recipe", "algorithm"), [("bf16", None), ("int8_wo", "W8A16"), ("int4_wo", "W4A16")]
)
def test_a_weight_only_checkpoint_holds_the_weights_as_they_are(
    checkpoint: Checkpoint, export: RandomExport, tmp_path: Path, recipe: str, algorithm: str | None
) -> None:
    out = new(tmp_path)
    done = quantise(gpu_spec(checkpoint, recipe), out, NullProgress())
    found, hf = written(out), checkpoint.tensors()
    attention = "model.layers.1.self_attn."
    rows = [hf[f"{attention}{name}_proj.weight"].raw() for name in "qkv"]

    np.testing.assert_array_equal(found[f"{LAYER}attention.qkv.weight"], np.concatenate(rows))
    gate = hf["model.layers.1.mlp.gate_proj.weight"].raw()
    np.testing.assert_array_equal(found[f"{LAYER}mlp.fc.weight"], gate)
    up = hf["model.layers.1.mlp.up_proj.weight"].raw()
    np.testing.assert_array_equal(found[f"{LAYER}mlp.gate.weight"], up)
    np.testing.assert_array_equal(found["lm_head.weight"], hf["lm_head.weight"].raw())
    said = json.loads((out / "config.json").read_text())
    assert said["quantization"]["quant_algo"] == algorithm
    assert said["dtype"] == "bfloat16"
    assert export.jobs == done.num_prompts == 0
    assert sorted(path.name for path in out.iterdir()) == ["config.json", "rank0.safetensors"]


def test_a_tied_head_is_written_because_the_library_wants_one(
    tmp_path: Path, export: RandomExport
) -> None:
    tied = untied_checkpoint(tmp_path / "tied", tied=True)
    out = new(tmp_path)
    quantise(gpu_spec(tied, "bf16"), out, NullProgress())
    found = written(out)

    np.testing.assert_array_equal(
        found["lm_head.weight"], found["transformer.vocab_embedding.weight"]
    )


def test_bfloat16_weights_become_float16_by_value(checkpoint: Checkpoint, tmp_path: Path) -> None:
    out = new(tmp_path)
    quantise(gpu_spec(checkpoint, "fp16"), out, NullProgress())
    found = written(out)[f"{LAYER}mlp.proj.weight"]
    exact = checkpoint.tensors()["model.layers.1.mlp.down_proj.weight"].float32()

    assert found.dtype == np.float16
    np.testing.assert_allclose(found.astype(np.float32), exact, rtol=2**-11, atol=2**-25)


def test_a_value_that_float16_does_not_hold_is_refused(tmp_path: Path) -> None:
    checkpoint = untied_checkpoint(tmp_path / "wide", dtype="BF16")
    tensors = {name: t.float32().copy() for name, t in checkpoint.tensors().items()}
    tensors["model.norm.weight"][0] = 1e6
    write_weights(checkpoint.folder, tensors, "BF16")

    with pytest.raises(CheckpointError, match=r"model\.norm\.weight has values that float16 does"):
        quantise(gpu_spec(checkpoint, "fp16"), new(tmp_path), NullProgress())


def test_float32_is_rounded_to_the_nearest_bfloat16() -> None:
    values = np.array([1, 1 + 2**-8, 1 + 3 * 2**-8, 1 + 2**-8 + 2**-20, -0.0], np.float32)
    rounded = (to_bfloat16(values).astype(np.uint32) << 16).view(np.float32)

    np.testing.assert_array_equal(rounded, [1, 1, 1 + 4 * 2**-8, 1 + 2 * 2**-8, -0.0])


@pytest.mark.parametrize("recipe", ["fp16", "int8_sq", "int8_sq_static", "int4_awq"])
def test_two_gpus_have_the_whole_between_them(
    checkpoint: Checkpoint, export: RandomExport, tmp_path: Path, recipe: str
) -> None:
    one, two = new(tmp_path, "one"), new(tmp_path, "two")
    settings = ["group_size=64"] if recipe == "int4_awq" else []
    quantise(gpu_spec(checkpoint, recipe, *settings), one, NullProgress())
    quantise(gpu_spec(checkpoint, recipe, *settings, tensor_parallel=2), two, NullProgress())
    whole, ranks = written(one), [written(two, rank) for rank in range(2)]
    config = checkpoint.config
    assert whole.keys() == ranks[0].keys() == ranks[1].keys()
    assert json.loads((two / "config.json").read_text())["mapping"]["world_size"] == 2

    packed = 2 if recipe == "int4_awq" else 1
    heads, kv = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    name = f"{LAYER}attention.qkv.weight"
    query, key, value = np.split(whole[name], [heads // packed, (heads + kv) // packed])
    for rank, share in enumerate(ranks):
        expected = [np.split(part, 2)[rank] for part in (query, key, value)]
        np.testing.assert_array_equal(share[name], np.concatenate(expected))
        for row in ("attention.dense", "mlp.proj"):
            weight = whole[f"{LAYER}{row}.weight"]
            expected_row = np.split(weight, 2, axis=1)[rank]
            np.testing.assert_array_equal(share[f"{LAYER}{row}.weight"], expected_row)
        for same in ("input_layernorm.weight", "post_layernorm.weight"):
            np.testing.assert_array_equal(share[LAYER + same], whole[LAYER + same])
        np.testing.assert_array_equal(
            share["lm_head.weight"], np.split(whole["lm_head.weight"], 2)[rank]
        )
    if recipe == "int8_sq":
        assert ranks[1][f"{LAYER}mlp.fc.per_channel_scale"].shape == (1, 384)
        assert ranks[1][f"{LAYER}mlp.proj.per_channel_scale"].shape == (1, 384)
        assert ranks[1][f"{LAYER}mlp.proj.smoother"].shape == (1, 384)


def test_the_smoothing_factors_move_into_norms_and_smoothers(
    checkpoint: Checkpoint, export: RandomExport, tmp_path: Path
) -> None:
    static, token = new(tmp_path, "static"), new(tmp_path, "token")
    quantise(gpu_spec(checkpoint, "int8_sq_static"), static, NullProgress())
    quantise(gpu_spec(checkpoint, "int8_sq"), token, NullProgress())
    before, after = written(static), written(token)

    for norm, linear in (("input_layernorm", "attention.qkv"), ("post_layernorm", "mlp.gate")):
        factor = before[f"{LAYER}{linear}.prequant_scaling_factor"].astype(np.float32)
        expected = (before[f"{LAYER}{norm}.weight"].astype(np.float32) * factor).astype(np.float16)
        np.testing.assert_array_equal(after[f"{LAYER}{norm}.weight"], expected)
        np.testing.assert_array_equal(after[f"{LAYER}{norm}.scale_to_int"], [1])
    factor = before[f"{LAYER}mlp.proj.prequant_scaling_factor"].astype(np.float32)
    np.testing.assert_array_equal(after[f"{LAYER}mlp.proj.smoother"], 1 / factor[np.newaxis])
    scale = before[f"{LAYER}attention.qkv.weights_scaling_factor"]
    np.testing.assert_array_equal(
        after[f"{LAYER}attention.qkv.per_channel_scale"], scale[np.newaxis]
    )
    np.testing.assert_array_equal(after[f"{LAYER}mlp.fc.weight"], before[f"{LAYER}mlp.fc.weight"])
    assert not [name for name in after if "activation_scaling_factor" in name]


@pytest.mark.parametrize(
    ("recipe", "cache", "jobs"), [("int8_wo", "int8", 1), ("bf16", "int8", 1), ("bf16", "fp8", 0)]
)
def test_a_quantised_kv_cache_has_a_scale_per_layer(
    checkpoint: Checkpoint,
    export: RandomExport,
    tmp_path: Path,
    recipe: str,
    cache: str,
    jobs: int,
) -> None:
    settings = [f"kv_cache={cache}"] + (["calibration_samples=4"] if jobs else [])
    out = new(tmp_path)
    spec = gpu_spec(checkpoint, recipe, *settings, target="l40s")
    done = quantise(spec, out, NullProgress())
    scale = written(out)[f"{LAYER}attention.kv_cache_scaling_factor"]

    assert scale.shape == (1,)
    assert scale.dtype == np.float32
    assert scale[0] > 0
    assert (scale[0] == 1) == (jobs == 0)  # E4M3 holds the values as they are
    assert export.jobs == jobs
    assert done.num_prompts == 4 * jobs
    said = json.loads((out / "config.json").read_text())["quantization"]
    assert said["kv_cache_quant_algo"] == cache.upper()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (f"{LAYER}mlp.fc.weights_scaling_factor", None, "wrote nothing as"),
        (
            f"{LAYER}mlp.fc.prequant_scaling_factor",
            np.full(384, 0.25, np.float16),
            "different smoothing factors",
        ),
        (
            f"{LAYER}mlp.fc.weights_scaling_factor",
            np.zeros(768, np.float32),
            "a scale in transformer.layers.1.mlp.fc.weights_scaling_factor that is not",
        ),
        (
            f"{LAYER}attention.kv_cache_scaling_factor",
            np.full(1, np.nan, np.float32),
            "is not a positive number",
        ),
        (
            f"{LAYER}input_layernorm.weight",
            np.full(384, 60000, np.float16),
            "more than float16 holds",
        ),
    ],
)
def test_an_export_that_is_not_sound_makes_no_checkpoint(
    checkpoint: Checkpoint,
    export: RandomExport,
    tmp_path: Path,
    name: str,
    value: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None,
    words: str,
) -> None:
    export.changes[name] = value

    with pytest.raises(RunFailed) as caught:
        quantise(gpu_spec(checkpoint, "int8_sq"), new(tmp_path), NullProgress())

    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("installed", "words"),
    [
        ({}, "`nvidia-modelopt` is not installed"),
        ({"nvidia_modelopt": "0.37.0", "transformers": "4.57.3"}, "`torch` is not installed"),
        ({"nvidia_modelopt": "0.47.0", "transformers": "4.57.3", "torch": "2.9.1"}, "is 0.47.0"),
        (
            {"nvidia_modelopt": "0.37.0", "transformers": "5.2.0", "torch": "2.9.1"},
            "`transformers` is 5.2.0, with which Model Optimizer 0.37.0 silently loses the rotary",
        ),
    ],
)
def test_libraries_that_would_quantise_otherwise_are_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], words: str
) -> None:
    versions(monkeypatch, **installed)

    with pytest.raises(EnvironmentFault) as caught:
        library_versions()

    assert words in str(caught.value)
    assert "pip install torch 'nvidia-modelopt==0.37.0' 'transformers==4.57.3'" in str(caught.value)


def test_what_is_written_can_be_read_by_the_safetensors_library(
    checkpoint: Checkpoint, export: RandomExport, tmp_path: Path
) -> None:
    from safetensors import safe_open

    out = new(tmp_path)
    quantise(gpu_spec(checkpoint, "int8_sq"), out, NullProgress())
    with safe_open(out / "rank0.safetensors", "np") as stored:
        names = set(stored.keys())
        weight = stored.get_tensor(f"{LAYER}mlp.proj.weight")

    assert names == read_tensors([out / "rank0.safetensors"]).keys()
    np.testing.assert_array_equal(weight, written(out)[f"{LAYER}mlp.proj.weight"])
