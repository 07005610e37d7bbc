"""An emulated checkpoint computes what its recipe says: against plain numpy, and against the
checkpoint that it was made of; a wrong layout is seen.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import build_engine.trtllm.quantise as quantise_module
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.checkpoint.safetensors_file import read_tensors
from build_engine.errors import EngineError
from build_engine.progress import NullProgress
from build_engine.trtllm.emulate import (
    e4m3,
    emulated_network,
    read_stored,
    rounded_e4m3,
    symmetric,
)
from build_engine.trtllm.layout import HF_LINEARS
from build_engine.trtllm.quantise import quantise
from tests.build_engine.generation import F32, graph_inputs
from tests.build_engine.openvino.test_network import numpy_logits
from tests.build_engine.trtllm.specs import RandomExport, gpu_spec, untied_checkpoint

Floats = NDArray[np.float64]
IDS = np.array([5, 17, 80, 3, 44, 61, 9, 23, 90, 71, 12, 33])
PARTS = {part: linear for linear, parts in HF_LINEARS.items() for part in parts}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return untied_checkpoint(tmp_path / "untied", dtype="BF16")


@pytest.fixture(autouse=True)
def export(monkeypatch: pytest.MonkeyPatch) -> RandomExport:
    instead = RandomExport()
    monkeypatch.setattr(quantise_module, "run_job", instead)
    return instead


def quantised(checkpoint: Checkpoint, folder: Path, recipe: str, *settings: str) -> Path:
    folder.mkdir()
    quantise(gpu_spec(checkpoint, recipe, *settings, target="l40s"), folder, NullProgress())
    return folder


def emulated_logits(folder: Path, ids: NDArray[np.int64] = IDS) -> Floats:
    import openvino as ov

    model = ov.Core().compile_model(emulated_network(read_stored(folder)), "CPU", dict(F32))
    request = model.create_infer_request()
    return np.array(request.infer(graph_inputs(ids[np.newaxis]))["logits"][0], np.float64)


class Numpy:
    """The arithmetic of a checkpoint in float64, written from its format alone."""

    def __init__(self, folder: Path, checkpoint: Checkpoint) -> None:
        stored = read_tensors([folder / "rank0.safetensors"])
        self.config = checkpoint.config
        self.raw = {name: np.array(tensor.raw()) for name, tensor in stored.items()}
        floats = {
            name: tensor.float32().astype(np.float64)
            for name, tensor in stored.items()
            if tensor.dtype in ("F32", "F16", "BF16")
        }
        self.floats = floats
        self.plain = {
            "model.embed_tokens.weight": floats["transformer.vocab_embedding.weight"],
            "model.norm.weight": floats["transformer.ln_f.weight"],
            "lm_head.weight": floats["lm_head.weight"],
        }
        for layer in range(self.config.num_layers):
            ours, hf = f"transformer.layers.{layer}.", f"model.layers.{layer}."
            first, second = "input_layernorm.weight", "post_layernorm.weight"
            self.plain[hf + first] = floats[ours + first]
            self.plain[f"{hf}post_attention_layernorm.weight"] = floats[ours + second]

    def rows(self, part: str) -> slice:
        queries = self.config.num_heads * self.config.head_dim
        keys = self.config.num_kv_heads * self.config.head_dim
        return {
            "self_attn.q_proj": slice(0, queries),
            "self_attn.k_proj": slice(queries, queries + keys),
            "self_attn.v_proj": slice(queries + keys, queries + 2 * keys),
        }.get(part, slice(None))

    def name(self, hf: str) -> tuple[str, str]:
        _, _, layer, part = hf.split(".", 3)
        return f"transformer.layers.{layer}.{PARTS[part]}.", part

    def per_token(self, x: Floats, hf: str) -> Floats:
        name, part = self.name(hf)
        rows = self.rows(part)
        if name + "smoother" in self.floats:
            x = x / self.floats[name + "smoother"]
        scale = np.abs(x).max(1, keepdims=True) / 127
        whole = np.rint(x / scale) @ self.raw[name + "weight"][rows].T.astype(np.float64)
        return np.asarray(whole * scale * self.floats[name + "per_channel_scale"][:, rows])

    def static(self, x: Floats, hf: str) -> Floats:
        name, part = self.name(hf)
        rows, scale = self.rows(part), self.floats[name + "activation_scaling_factor"]
        x = x * self.floats[name + "prequant_scaling_factor"]
        whole = np.clip(np.rint(x / scale), -128, 127) @ self.raw[name + "weight"][rows].T
        return np.asarray(whole * scale * self.floats[name + "weights_scaling_factor"][rows])

    def awq(self, x: Floats, hf: str) -> Floats:
        name, part = self.name(hf)
        packed = self.raw[name + "weight"].view(np.uint8).astype(np.int64)
        nibbles = np.stack([packed & 15, packed >> 4], 1).reshape(-1, packed.shape[1])
        signed = np.where(nibbles > 7, nibbles - 16, nibbles)
        scale = np.repeat(self.floats[name + "weights_scaling_factor"], 128, axis=1)
        weight = (signed * scale)[self.rows(part)]
        return np.asarray(x * self.floats[name + "prequant_scaling_factor"] @ weight.T)

    def int8_cache(self, values: Floats, hf: str) -> Floats:
        layer = hf.split(".")[2]
        scale = self.floats[f"transformer.layers.{layer}.attention.kv_cache_scaling_factor"]
        return np.asarray(np.clip(np.rint(values / scale), -128, 127) * scale)


@pytest.mark.parametrize(
    ("recipe", "settings", "arithmetic"),
    [
        ("int8_sq", ["kv_cache=fp16"], Numpy.per_token),
        ("int8_sq", [], Numpy.per_token),
        ("int8_sq_static", ["kv_cache=fp16"], Numpy.static),
        ("int4_awq", [], Numpy.awq),
        ("int4_awq", ["kv_cache=int8"], Numpy.awq),
    ],
)
def test_the_graph_computes_as_the_format_says(
    checkpoint: Checkpoint,
    tmp_path: Path,
    recipe: str,
    settings: list[str],
    arithmetic: Callable[[Numpy, Floats, str], Floats],
) -> None:
    folder = quantised(checkpoint, tmp_path / "out", recipe, *settings)
    by_hand = Numpy(folder, checkpoint)
    has_cache = "transformer.layers.0.attention.kv_cache_scaling_factor" in by_hand.raw
    expected = numpy_logits(
        checkpoint.config,
        by_hand.plain,
        IDS,
        lambda x, name: arithmetic(by_hand, x, name),
        by_hand.int8_cache if has_cache else lambda values, name: values,
    )
    found = emulated_logits(folder)

    # a value that lies on the edge of two steps may fall to either side in float32
    assert np.abs(found - expected).max() <= 0.02 * np.abs(expected).max()
    assert np.median(np.abs(found - expected)) <= 1e-3 * np.abs(expected).std()


@pytest.mark.parametrize(
    ("recipe", "largest"), [("bf16", 1e-4), ("int8_wo", 0.05), ("int4_wo", 0.6)]
)
def test_weight_only_logits_are_near_those_of_the_checkpoint(
    checkpoint: Checkpoint, tmp_path: Path, recipe: str, largest: float
) -> None:
    weights = {n: t.float32().astype(np.float64) for n, t in checkpoint.tensors().items()}
    exact = numpy_logits(checkpoint.config, weights, IDS)
    found = emulated_logits(quantised(checkpoint, tmp_path / "out", recipe))
    error = np.abs(found - exact).max() / np.abs(exact).max()

    assert error <= largest
    assert recipe == "bf16" or error > 1e-4  # it was quantised


def _swap(folder: Path, names: dict[str, str]) -> None:
    """Let each tensor of a layer be called as another one is, by its ending."""
    file = folder / "rank0.safetensors"
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    renamed = {}
    for name, entry in header.items():
        ending = next((end for end in names if f".{end}." in f"{name}."), None)
        renamed[name if ending is None else name.replace(ending, names[ending])] = entry
    text = json.dumps({name: renamed[name] for name in header}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


def test_a_wrong_layout_changes_the_logits(checkpoint: Checkpoint, tmp_path: Path) -> None:
    right = quantised(checkpoint, tmp_path / "right", "bf16")
    weights = {n: t.float32().astype(np.float64) for n, t in checkpoint.tensors().items()}
    exact = numpy_logits(checkpoint.config, weights, IDS)
    swapped, turned = tmp_path / "swapped", tmp_path / "turned"
    shutil.copytree(right, swapped)
    _swap(swapped, {"mlp.fc": "mlp.gate", "mlp.gate": "mlp.fc"})
    shutil.copytree(right, turned)
    said: dict[str, Any] = json.loads((turned / "config.json").read_text())
    said["rotary_base"] = 10_000.0
    (turned / "config.json").write_text(json.dumps(said))

    assert np.abs(emulated_logits(right) - exact).max() < 1e-3
    for wrong in (swapped, turned):
        assert np.abs(emulated_logits(wrong) - exact).max() > 0.05


def test_a_forgotten_smoother_changes_the_logits(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = quantised(checkpoint, tmp_path / "out", "int8_sq", "kv_cache=fp16")
    stored = read_stored(folder)
    right = emulated_logits(folder)
    file = folder / "rank0.safetensors"
    content = bytearray(file.read_bytes())
    for name, tensor in stored.tensors.items():
        if name.endswith(".smoother"):
            ones = np.ones(tensor.shape, np.float32).tobytes()
            content[tensor.offset_bytes : tensor.offset_bytes + len(ones)] = ones
    file.write_bytes(content)

    assert np.abs(emulated_logits(folder) - right).max() > 0.1 * np.abs(right).max()


def test_the_library_s_own_weight_only_rounding() -> None:
    weight = np.array([[-1.0, 0.5, 1.0, 0.126], [0, 0, 0, 0]], np.float32)
    values, scale = symmetric(weight, 4)

    np.testing.assert_array_equal(values, [[-8, 4, 7, 1], [0, 0, 0, 0]])
    np.testing.assert_array_equal(scale, [[0.125], [1]])


def test_every_e4m3_byte_has_its_value() -> None:
    values = e4m3(np.arange(256, dtype=np.uint8))

    assert values[0x7E] == 448
    assert values[0x01] == 2.0**-9
    assert values[0x08] == 2.0**-6
    assert values[0x38] == 1
    np.testing.assert_array_equal(values[0x80:0xFF], -values[:0x7F])


def test_rounding_to_e4m3_keeps_its_values_and_takes_the_nearest_of_others() -> None:
    values = e4m3(np.arange(0x7F, dtype=np.uint8))
    between = (values[:-1] + values[1:]) / np.float32(2)

    np.testing.assert_array_equal(rounded_e4m3(values), values)
    np.testing.assert_array_equal(rounded_e4m3(between * np.float32(0.999)), values[:-1])
    np.testing.assert_array_equal(rounded_e4m3(between * np.float32(1.001)), values[1:])
    np.testing.assert_array_equal(rounded_e4m3(between[::2]), values[:-1:2])  # ties to even
    np.testing.assert_array_equal(rounded_e4m3(np.array([-1e6, 460], np.float32)), [-448, 448])


def test_a_checkpoint_for_two_gpus_is_not_emulated(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = tmp_path / "two"
    folder.mkdir()
    quantise(gpu_spec(checkpoint, "bf16", tensor_parallel=2), folder, NullProgress())

    with pytest.raises(EngineError, match="is cut for 2 GPUs"):
        read_stored(folder)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("rotary_base", None, "is no description of a Llama"),
        ("num_hidden_layers", 3, "has no transformer.layers.2.input_layernorm.weight"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(
    checkpoint: Checkpoint, tmp_path: Path, key: str, value: int | None, words: str
) -> None:
    folder = quantised(checkpoint, tmp_path / "out", "bf16")
    said = json.loads((folder / "config.json").read_text())
    if value is None:
        del said[key]
    else:
        said[key] = value
    (folder / "config.json").write_text(json.dumps(said))

    with pytest.raises(EngineError) as caught:
        read_stored(folder)

    assert words in str(caught.value)
