"""A TensorRT-LLM checkpoint carried out on a CPU: its accuracy is seen before a GPU is rented.

The checkpoint is read back by its own names and unpacked by its layout, and the graph does the
recipe's own arithmetic: products of INT8 values with a scale per token or per tensor, groups of
INT4 weights, E4M3 with static scales, keys and values rounded after the rotary embedding. What the
library quantises when it compiles (weight-only recipes) is quantised here as it does it. All else
is computed in float32, where the GPU rounds to 16 bits after each layer, so logits differ a little
from the engine's, and speed says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from openvino import opset15 as op

from build_engine.checkpoint.safetensors_file import StoredTensor, read_tensors
from build_engine.errors import EngineError
from build_engine.files import read_json
from build_engine.openvino.network import Network
from build_engine.trtllm.algorithm import PER_TENSOR, PER_TOKEN
from build_engine.trtllm.description import DESCRIPTION, described
from build_engine.trtllm.layout import (
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    HF_LINEARS,
    HF_NORMS,
    KV_SCALE,
    QKV,
    ROW,
    qkv_parts,
    tensors,
    unpack_int4,
)
from build_engine.trtllm.shards import rank_file

if TYPE_CHECKING:
    import openvino as ov
    from numpy.typing import NDArray

    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.trtllm.algorithm import QuantFormat

    Floats = NDArray[np.float32]

Node = Any
_REMEDY = "quantise the checkpoint again"
E4M3_LARGEST = 448.0
E4M3_SMALLEST_NORMAL = 2.0**-6
E4M3_MANTISSA_BITS = 3
_LINEAR_OF = {part: linear for linear, parts in HF_LINEARS.items() for part in parts}


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A checkpoint for one GPU as TensorRT-LLM would read it, held against the layout."""

    config: LlamaConfig
    form: QuantFormat
    tensors: Mapping[str, StoredTensor]


def read_stored(folder: Path) -> StoredCheckpoint:
    """The checkpoint in `folder`, by its own `config.json`.

    Raises EngineError for one that is for several GPUs, or lacks a tensor that it must have.
    """
    try:
        said = read_json(folder / DESCRIPTION, EngineError, _REMEDY)
        config, form, ranks = described(said)
    except FileNotFoundError:
        raise EngineError(f"`{folder}` has no {DESCRIPTION}; {_REMEDY}.") from None
    except (KeyError, TypeError, ValueError) as problem:
        raise EngineError(
            f"{folder / DESCRIPTION} is no description of a Llama ({problem}); {_REMEDY}."
        ) from None
    if ranks != 1:
        raise EngineError(
            f"`{folder}` is cut for {ranks} GPUs, and one is emulated; quantise it with "
            "tensor_parallel 1: the values are the same."
        )
    found = read_tensors([folder / rank_file(0)])
    for name, spec in tensors(config, form).items():
        tensor = found.get(name)
        if tensor is None or (tensor.dtype, tensor.shape) != (spec.dtype, spec.shape):
            raise EngineError(
                f"`{folder}` has no {name} of {spec.dtype} {list(spec.shape)}; {_REMEDY}."
            )
    return StoredCheckpoint(config, form, found)


def emulated_network(stored: StoredCheckpoint) -> ov.Model:
    """The graph of a checkpoint with its recipe's arithmetic, of the form of `build_network`."""
    return Emulated(stored).model()


def symmetric(weight: Floats, bits: int) -> tuple[NDArray[np.int8], Floats]:
    """Weights [N, K] rounded to nearest as the library does when it compiles: the largest of an
    output channel is 2 ** (bits - 1) steps, one more than the largest positive value. Returns
    values and the scale [N, 1].
    """
    most = 1 << (bits - 1)
    scale = np.abs(weight).max(axis=1, keepdims=True) / np.float32(most)
    scale = np.where(scale == 0, np.float32(1), scale)
    values = np.clip(np.rint(weight / scale), -most, most - 1)
    return values.astype(np.int8), scale


def e4m3(bits: NDArray[np.uint8]) -> Floats:
    """The values of E4M3 bytes: one bit of sign, four of exponent (bias 7), three of mantissa."""
    exponent = (bits >> E4M3_MANTISSA_BITS & 0x0F).astype(np.int32)
    mantissa = (bits & 0x07).astype(np.float32) / 8
    size = np.where(
        exponent == 0, mantissa * E4M3_SMALLEST_NORMAL, (1 + mantissa) * 2.0 ** (exponent - 7)
    )
    return np.where(bits & 0x80, -size, size).astype(np.float32)


def rounded_e4m3(values: Floats) -> Floats:
    """The nearest values of E4M3, ties to even; beyond the largest it stays the largest."""
    held = np.clip(values, -E4M3_LARGEST, E4M3_LARGEST)
    exponent = np.frexp(np.maximum(np.abs(held), E4M3_SMALLEST_NORMAL))[1] - 1
    step = np.ldexp(np.float32(1), exponent - E4M3_MANTISSA_BITS)
    rounded: Floats = np.rint(held / step) * step
    return rounded


class Emulated(Network):
    """The network of `build_network` with another arithmetic in its linear layers and caches."""

    def __init__(self, stored: StoredCheckpoint) -> None:
        self.form, self.stored = stored.form, stored.tensors
        super().__init__(stored.config, _plain_names(stored))

    def linears(self, hidden: Node, names: Sequence[str]) -> list[Node]:
        return [self.linear(hidden, name) for name in names]

    def linear(self, hidden: Node, name: str) -> Node:
        _, _, layer, part = name.split(".", 3)
        linear = _LINEAR_OF[part]
        prefix = f"transformer.layers.{layer}.{linear}"
        rows = _rows(self.config, part)
        product = self._product(hidden, prefix, linear, rows)
        bias = self.stored.get(f"{prefix}.bias")
        return product if bias is None else op.add(product, _floats(bias.float32()[rows]))

    def cached(self, new: Node, name: str) -> Node:
        """Keys (already turned) and values as the cache holds them."""
        layer = name.split(".")[1]
        kind = self.form.kv_cache_quant_algo
        if kind is not None:
            scale = _floats(self.stored[f"transformer.layers.{layer}.{KV_SCALE}"].float32())
            scaled = op.divide(new, scale)
            kept = _int8(scaled, -128) if kind == "INT8" else _e4m3(scaled)
            new = op.multiply(kept, scale)
        return super().cached(new, name)

    def _product(self, hidden: Node, prefix: str, linear: str, rows: slice) -> Node:
        """The layer without its bias."""
        weight = self.stored[f"{prefix}.weight"]
        algorithm = self.form.quant_algo
        if algorithm == PER_TOKEN:
            if linear in ROW:
                hidden = op.divide(hidden, self._scale(f"{prefix}.smoother"))
            largest = op.reduce_max(op.abs(hidden), _ints([-1]), True)
            scale = op.divide(op.maximum(largest, _floats(1e-8)), _floats(127))
            channels = self.stored[f"{prefix}.per_channel_scale"].float32()[0, rows]
            product = _matmul(
                _int8(op.divide(hidden, scale), -127), _int8_constant(weight.raw()[rows])
            )
            return op.multiply(op.multiply(product, scale), _floats(channels))
        if algorithm == PER_TENSOR:
            hidden = op.multiply(hidden, self._scale(f"{prefix}.prequant_scaling_factor"))
            scale = self._scale(f"{prefix}.activation_scaling_factor")
            channels = self.stored[f"{prefix}.weights_scaling_factor"].float32()[rows]
            product = _matmul(
                _int8(op.divide(hidden, scale), -128), _int8_constant(weight.raw()[rows])
            )
            return op.multiply(op.multiply(product, scale), _floats(channels))
        if self.form.is_grouped:
            hidden = op.multiply(hidden, self._scale(f"{prefix}.prequant_scaling_factor"))
        if algorithm in ("FP8", "W4A8_AWQ"):
            scale = self._scale(f"{prefix}.activation_scaling_factor")
            hidden = op.multiply(_e4m3(op.divide(hidden, scale)), scale)
        return _matmul(hidden, _floats(self._dequantised(prefix)[rows]))

    def _dequantised(self, prefix: str) -> Floats:
        """The weights whose products are not of integers."""
        weight = self.stored[f"{prefix}.weight"]
        match self.form.quant_algo:
            case "W8A16" | "W4A16" as algorithm:
                whole, scale = symmetric(weight.float32(), 8 if algorithm == "W8A16" else 4)
                return whole * scale
            case "FP8":
                return e4m3(weight.raw()) * self._floats_of(f"{prefix}.weights_scaling_factor")
            case "W4A16_AWQ" | "W4A8_AWQ":
                scale = self._floats_of(f"{prefix}.weights_scaling_factor")
                steps = np.repeat(scale, self.form.group_size, axis=1)
                values: Floats = unpack_int4(np.asarray(weight.raw())) * steps
                if self.form.quant_algo == "W4A8_AWQ":
                    # E4M3 on both sides of an FP8 product, as Model Optimizer simulates it
                    unit = self._floats_of(f"{prefix}.weights_scaling_factor_2")
                    return rounded_e4m3(values / unit) * unit
                return values
            case _:
                return weight.float32()

    def _floats_of(self, name: str) -> Floats:
        return self.stored[name].float32()

    def _scale(self, name: str) -> Node:
        return _floats(self._floats_of(name).reshape(1, 1, -1))


def _plain_names(stored: StoredCheckpoint) -> dict[str, StoredTensor]:
    """What is not quantised, by its Hugging Face name."""
    found = {
        "model.embed_tokens.weight": stored.tensors[EMBEDDING],
        "model.norm.weight": stored.tensors[FINAL_NORM],
        "lm_head.weight": stored.tensors[HEAD],
    }
    for layer in range(stored.config.num_layers):
        for ours, theirs in HF_NORMS.items():
            tensor = stored.tensors[f"transformer.layers.{layer}.{ours}.weight"]
            found[f"model.layers.{layer}.{theirs}.weight"] = tensor
    return found


def _rows(config: LlamaConfig, part: str) -> slice:
    """The outputs of a Hugging Face layer in its TensorRT-LLM layer."""
    position = HF_LINEARS[QKV].index(part) if part in HF_LINEARS[QKV] else None
    if position is None:
        return slice(None)
    parts = qkv_parts(config)
    start = sum(parts[:position])
    return slice(start, start + parts[position])


def _matmul(hidden: Node, weight: Node) -> Node:
    return op.matmul(hidden, weight, False, True)


def _int8(values: Node, lowest: int) -> Node:
    """Rounded to whole numbers, ties to even, of `lowest` to 127."""
    return op.clamp(op.round(values, "half_to_even"), float(lowest), 127.0)


def _e4m3(values: Node) -> Node:
    """Rounded to the nearest E4M3, ties to even; beyond the largest it stays the largest."""
    held = op.clamp(values, -E4M3_LARGEST, E4M3_LARGEST)
    size = op.maximum(op.abs(held), _floats(E4M3_SMALLEST_NORMAL))
    exponent = op.floor(op.divide(op.log(size), _floats(np.log(2.0))))
    step = op.power(_floats(2), op.subtract(exponent, _floats(E4M3_MANTISSA_BITS)))
    return op.multiply(op.round(op.divide(held, step), "half_to_even"), step)


def _int8_constant(values: NDArray[np.int8]) -> Node:
    return op.convert(op.constant(np.array(values, np.int8)), "f32")


def _ints(values: list[int]) -> Node:
    return op.constant(np.array(values, np.int64))


def _floats(values: Any) -> Node:
    return op.constant(np.array(values, np.float32))
