"""With Model Optimizer itself: every recipe of a GPU, with and without a quantised KV cache.

Each has the layout, and its weights are those of the checkpoint to within its format's half-steps.

Runs where the pinned Model Optimizer is installed, on a CPU too.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from build_engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from build_engine.checkpoint.safetensors_file import read_tensors
from build_engine.errors import EnvironmentFault
from build_engine.progress import NullProgress
from build_engine.store.quantised import open_quantised
from build_engine.store.spec import EngineSpec
from build_engine.trtllm.algorithm import PER_TENSOR, PER_TOKEN, format_of
from build_engine.trtllm.artefact import quantised_checkpoint
from build_engine.trtllm.layout import COLUMN, HF_LINEARS, QKV, ROW, tensors, unpack_int4
from build_engine.trtllm.modelopt import library_versions
from newsbrief import CHECKPOINT
from tests.build_engine.trtllm.specs import gpu_spec, untied_checkpoint


def _installed() -> bool:
    try:
        library_versions()
    except EnvironmentFault:
        return False
    return True


pytestmark = pytest.mark.skipif(not _installed(), reason="the pinned Model Optimizer is not here")

PLAIN = ("bf16", "fp16", "int8_wo", "int4_wo")
SAMPLES = "calibration_samples=4"
WITHOUT_KV = [
    *[(recipe, "a30", ()) for recipe in (*PLAIN, "int4_awq")],
    *[(recipe, "a30", ("kv_cache=fp16",)) for recipe in ("int8_sq", "int8_sq_static")],
    ("fp8", "l40s", ("kv_cache=bf16",)),
    ("w4a8_awq", "l40s", ("kv_cache=fp16",)),
]
WITH_KV = [
    *[(recipe, "a30", ("kv_cache=int8", SAMPLES)) for recipe in (*PLAIN, "int4_awq")],
    *[(recipe, "a30", ()) for recipe in ("int8_sq", "int8_sq_static")],
    ("fp8", "l40s", ()),
    ("w4a8_awq", "l40s", ()),
    ("fp8", "l40s", ("kv_cache=int8",)),
]
# Largest error in half-steps of the format. The smoothed weight is rounded to 16 bits before it is
# quantised, and so is its factor: in float16 each costs 2 * 127 * 2**-11 = 0.125 half-steps of the
# largest INT8 weight, and layers that share a factor are rounded four times instead of twice.
HALF_STEPS = {PER_TOKEN: 1.25, PER_TENSOR: 1.25, "W4A16_AWQ": 1.6, "W4A8_AWQ": 1.2, "FP8": 1.01}
SHARED_HALF_STEPS = {PER_TOKEN: 1.5, PER_TENSOR: 1.5}
SHARED = {PER_TOKEN: COLUMN, PER_TENSOR: (QKV,)}
E4M3_MANTISSA = 3


@pytest.fixture(scope="module", params=["newsbrief", "untied"])
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    if request.param == "newsbrief":
        return open_checkpoint(CHECKPOINT, "newsbrief")
    return untied_checkpoint(tmp_path_factory.mktemp("untied"), dtype="BF16")


@pytest.mark.parametrize(("recipe", "target", "settings"), [*WITHOUT_KV, *WITH_KV])
def test_names_types_shapes_and_weights_are_right(
    checkpoint: Checkpoint,
    recipe: str,
    target: str,
    settings: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    spec = gpu_spec(checkpoint, recipe, *settings, target=target)
    folder = quantised_checkpoint(spec, NullProgress())
    form = format_of(spec.recipe)
    stored = read_tensors([folder / "rank0.safetensors"])
    wanted = tensors(checkpoint.config, form)

    open_quantised(folder)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in stored.items()} == {
        name: (tensor.dtype, tensor.shape) for name, tensor in wanted.items()
    }
    said = json.loads((folder / "config.json").read_text())
    assert said["quantization"]["quant_algo"] == form.quant_algo
    assert said["quantization"]["kv_cache_quant_algo"] == form.kv_cache_quant_algo
    assert (said["rotary_scaling"] or {}).get("rope_type") == "llama3"
    scales = [
        t.float32()[0] for name, t in stored.items() if name.endswith("kv_cache_scaling_factor")
    ]
    assert len(scales) == (checkpoint.config.num_layers if form.kv_cache_quant_algo else 0)
    assert all(scale > 0 for scale in scales)
    if form.quant_algo in HALF_STEPS:
        _check_weights(spec, {name: np.array(tensor.raw()) for name, tensor in stored.items()})


def _check_weights(spec: EngineSpec, found: dict[str, NDArray[Any]]) -> None:
    """Each stored value, brought back to the weight's own scale, is near the checkpoint's."""
    algorithm = format_of(spec.recipe).quant_algo
    original = spec.checkpoint.tensors()
    assert algorithm is not None
    for layer in range(spec.checkpoint.config.num_layers):
        for linear, parts in HF_LINEARS.items():
            name = f"transformer.layers.{layer}.{linear}"
            exact = np.concatenate(
                [original[f"model.layers.{layer}.{part}.weight"].float32() for part in parts]
            )
            values, step, factor = _values(found, name, algorithm, original, layer)
            error = np.abs(values - exact * _inverse(factor)) / (step / 2)
            shared = linear in SHARED.get(algorithm, ())
            allowed = (SHARED_HALF_STEPS if shared else HALF_STEPS)[algorithm]
            assert error.max() <= allowed, (name, error.max())


def _inverse(factor: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(1 / factor[np.newaxis], np.float32)


def _values(
    found: dict[str, NDArray[Any]], name: str, algorithm: str, original: Any, layer: int
) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float32]]:
    """Smoothed weights, the step between neighbours at each, and the factor of the input."""
    weight = found[f"{name}.weight"]
    ones = np.ones(weight.shape[-1], np.float32)
    if algorithm == "FP8":
        scale = found[f"{name}.weights_scaling_factor"][0]
        values = _e4m3(weight)
        exponent = np.floor(np.log2(np.maximum(np.abs(values), 2.0**-6)))
        return values * scale, 2.0 ** (exponent - E4M3_MANTISSA) * scale, ones
    if algorithm == PER_TOKEN:
        scale = found[f"{name}.per_channel_scale"].T
        if name.split(".", 3)[3] in ROW:
            factor = 1 / found[f"{name}.smoother"][0]
        else:
            norms = {"qkv": "input_layernorm", "fc": "post_layernorm", "gate": "post_layernorm"}
            norm = norms[name.rpartition(".")[2]]
            hf = {"input_layernorm": norm, "post_layernorm": "post_attention_layernorm"}[norm]
            folded = found[f"transformer.layers.{layer}.{norm}.weight"].astype(np.float32)
            factor = folded / original[f"model.layers.{layer}.{hf}.weight"].float32()
        return weight * scale, scale, factor.astype(np.float32)
    factor = _float32(found[f"{name}.prequant_scaling_factor"])
    scale = found[f"{name}.weights_scaling_factor"]
    if algorithm == PER_TENSOR:
        return weight * scale[:, np.newaxis], scale[:, np.newaxis], factor
    whole = unpack_int4(weight)
    steps = np.repeat(scale, whole.shape[1] // scale.shape[1], axis=1)
    return whole * steps, steps, factor


def _e4m3(bits: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The values of E4M3 bytes: one bit of sign, four of exponent (bias 7), three of mantissa."""
    exponent, mantissa = (bits >> 3 & 0x0F).astype(np.int32), (bits & 0x07).astype(np.float32)
    normal = (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    sign = np.where(bits & 0x80, -1, 1)
    return np.asarray(sign * np.where(exponent == 0, mantissa / 8 * 2.0**-6, normal), np.float32)


def _float32(values: NDArray[Any]) -> NDArray[np.float32]:
    if values.dtype == np.uint16:
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32)
