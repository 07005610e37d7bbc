"""Llama as an OpenVINO graph, built straight from stored tensors, without PyTorch or tracing.

The graph has the inputs `input_ids`, `attention_mask`, `position_ids` (int64 [batch, length]) and
`beam_idx` (int32 [batch]), the output `logits` (float32 [batch, length, vocabulary]) and one
stateful key and value cache per layer. That is the form which
`openvino_genai.ContinuousBatchingPipeline` turns into paged attention: per cache a ReadValue,
Gather by `beam_idx`, Concat and Assign, then one ScaledDotProductAttention over key-value heads
repeated by Unsqueeze, Broadcast and Reshape.

Weights stay in the type they are stored in and are widened to float32 in the graph, which loses
nothing. The shapes that the CPU plugin recognises (RMSNorm, rotary embedding, SwiGLU) are kept,
because each runs as one fused kernel. The three projections of attention's input are one product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op
from openvino.op.util import Variable, VariableInfo

from build_engine.checkpoint.safetensors_file import as_float32

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.checkpoint.safetensors_file import StoredTensor

Node = Any
OV_TYPES = {"F32": ov.Type.f32, "F16": ov.Type.f16, "BF16": ov.Type.bf16}
# Added to the score of a position that must not be seen; the lowest number that every inference
# precision holds.
MASKED = float(np.finfo(np.float16).min)


def build_network(config: LlamaConfig, tensors: Mapping[str, StoredTensor]) -> ov.Model:
    """The whole network, from the tensors of a resolved checkpoint: names and shapes are right."""
    return Network(config, tensors).model()


@dataclass(frozen=True, slots=True)
class Held:
    """Values of a tensor in a stored type, of bfloat16 the bits."""

    dtype: str
    values: NDArray[Any]

    def widened(self) -> Held:
        """The same in float32."""
        return Held("F32", as_float32(self.dtype, self.values))


class Network:
    """One graph under construction. A subclass may hold weights otherwise, and compute `linear`,
    `linears` and `cached` in another way.
    """

    def __init__(self, config: LlamaConfig, tensors: Mapping[str, StoredTensor]) -> None:
        self.config = config
        self.tensors = tensors
        self.variables: list[Variable] = []
        self.assigns: list[Node] = []
        self.input_ids = _parameter("input_ids", [-1, -1], np.int64)
        self.attention_mask = _parameter("attention_mask", [-1, -1], np.int64)
        self.position_ids = _parameter("position_ids", [-1, -1], np.int64)
        self.beam_idx = _parameter("beam_idx", [-1], np.int32)
        self.batch = _dimension(self.input_ids, [0])
        self.mask = self._causal_mask()
        self.cos, self.sin = self._rotations()

    def model(self) -> ov.Model:
        config = self.config
        embedding = self.weight("model.embed_tokens.weight")
        hidden = op.gather(embedding, self.input_ids, _ints(0), name="model.embed_tokens")
        for layer in range(config.num_layers):
            prefix = f"model.layers.{layer}"
            normed = self._rms_norm(hidden, f"{prefix}.input_layernorm")
            hidden = op.add(hidden, self._attention(normed, layer, f"{prefix}.self_attn"))
            normed = self._rms_norm(hidden, f"{prefix}.post_attention_layernorm")
            hidden = op.add(hidden, self._mlp(normed, f"{prefix}.mlp"))
        hidden = self._rms_norm(hidden, "model.norm")
        head = embedding if config.tie_word_embeddings else self.weight("lm_head.weight")
        logits = op.matmul(hidden, head, False, True, name="lm_head")
        logits.output(0).set_names({"logits"})
        inputs = [self.input_ids, self.attention_mask, self.position_ids, self.beam_idx]
        return ov.Model([op.result(logits)], self.assigns, inputs, self.variables, "llama")

    def held(self, name: str) -> Held:
        """The values of a stored tensor, as the graph holds them."""
        stored = self.tensors[name]
        return Held(stored.dtype, stored.raw())

    def weight(self, *names: str, shape: Sequence[int] | None = None) -> Node:
        """Stored tensors, the rows of one below those of another, as a float32 node."""
        parts = [self.held(name) for name in names]
        if len({part.dtype for part in parts}) > 1:
            parts = [part.widened() for part in parts]
        constant = _constant(parts, shape)
        constant.set_friendly_name(names[0])
        return constant if parts[0].dtype == "F32" else op.convert(constant, "f32")

    def linear(self, hidden: Node, name: str) -> Node:
        return self.product(hidden, (name,))

    def linears(self, hidden: Node, names: Sequence[str]) -> list[Node]:
        """The outputs of linear layers that have one input, by one product: a step of few tokens
        waits for each product, and reads small matrices more slowly.
        """
        rows = [self.config.tensor_shapes[f"{name}.weight"][0] for name in names]
        split = op.variadic_split(self.product(hidden, names), _ints(-1), _ints(rows))
        outputs: list[Node] = split.outputs()
        return outputs

    def product(self, hidden: Node, names: Sequence[str]) -> Node:
        """The outputs of linear layers side by side."""
        weight = self.weight(*(f"{name}.weight" for name in names))
        product = op.matmul(hidden, weight, False, True, name=names[0])
        biased = self.config.mlp_bias if ".mlp." in names[0] else self.config.attention_bias
        return op.add(product, self.weight(*(f"{n}.bias" for n in names))) if biased else product

    def _rms_norm(self, hidden: Node, name: str) -> Node:
        """x / sqrt(mean(x^2) + eps) * weight over the last axis (arXiv 1910.07467)."""
        mean_square = op.reduce_mean(op.power(hidden, _floats(2)), _ints([-1]), True)
        eps = _floats(self.config.rms_norm_eps)
        inverse = op.divide(_floats(1), op.sqrt(op.add(mean_square, eps)))
        weight = self.weight(f"{name}.weight", shape=[1, 1, self.config.hidden_size])
        return op.multiply(weight, op.multiply(hidden, inverse), name=name)

    def _rotations(self) -> tuple[Node, Node]:
        """Cosine and sine of each position's angles, [batch, 1, length, head_dim].

        Both halves of a head turn by the same angles.
        """
        half = self.config.head_dim // 2
        inverse = _floats(self.config.inverse_frequencies.reshape(1, half, 1))
        inverse = op.broadcast(inverse, op.concat([self.batch, _ints([half, 1])], 0))
        positions = op.convert(op.unsqueeze(self.position_ids, _ints([1])), "f32")
        angles = op.transpose(op.matmul(inverse, positions, False, False), _ints([0, 2, 1]))
        both = op.concat([angles, angles], -1)
        return op.unsqueeze(op.cos(both), _ints([1])), op.unsqueeze(op.sin(both), _ints([1]))

    def _rotate(self, heads: Node) -> Node:
        """Rotary embedding of [batch, heads, length, head_dim].

        Element i is paired with i + head_dim / 2, as in Hugging Face checkpoints.
        """
        half = self.config.head_dim // 2
        first = op.slice(heads, _ints([0]), _ints([half]), _ints([1]), _ints([3]))
        last = op.slice(heads, _ints([half]), _ints([2**63 - 1]), _ints([1]), _ints([3]))
        turned = op.concat([op.multiply(last, _floats([[[[-1]]]])), first], -1)
        return op.add(op.multiply(heads, self.cos), op.multiply(turned, self.sin))

    def _causal_mask(self) -> Node:
        """Added to scores, [batch, 1, length, past + length]: 0 where seen, `MASKED` where not."""
        length = _dimension(self.input_ids, [1])
        total = _dimension(self.attention_mask, [1])
        axis = _ints([0])
        keys = op.range(_ints(0), op.squeeze(total, axis), _ints(1), "i64")
        queries = op.range(_ints(0), op.squeeze(length, axis), _ints(1), "i64")
        queries = op.unsqueeze(op.add(queries, op.subtract(total, length)), _ints([1]))
        causal = op.less_equal(op.unsqueeze(keys, axis), queries)
        present = op.convert(op.unsqueeze(self.attention_mask, _ints([1, 2])), "boolean")
        visible = op.logical_and(op.unsqueeze(causal, _ints([0, 1])), present)
        return op.select(visible, _floats(0), _floats(MASKED))

    def _heads(self, projected: Node, num_heads: int) -> Node:
        """[batch, length, heads * head_dim] -> [batch, heads, length, head_dim]."""
        split = op.reshape(projected, _ints([0, 0, num_heads, self.config.head_dim]), True)
        return op.transpose(split, _ints([0, 2, 1, 3]))

    def cached(self, new: Node, name: str) -> Node:
        """Append `new` to the state `name` along the length and return the whole of it."""
        config = self.config
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, config.num_kv_heads, -1, config.head_dim])
        info.data_type = ov.Type.f32
        info.variable_id = name
        variable = Variable(info)
        self.variables.append(variable)
        empty_shape = op.concat([self.batch, _ints([config.num_kv_heads, 0, config.head_dim])], 0)
        state = op.read_value(op.broadcast(_floats(0), empty_shape), variable)
        whole = op.concat([op.gather(state, self.beam_idx, _ints(0)), new], 2)
        self.assigns.append(op.assign(whole, variable))
        return whole

    def _repeated(self, heads: Node) -> Node:
        """Each key-value head once per query head of its group: num_heads heads in all."""
        config = self.config
        group = config.num_heads // config.num_kv_heads
        if group == 1:
            return heads
        shape = [_dimension(heads, [0, 1]), _ints([group]), _dimension(heads, [2, 3])]
        grouped = op.broadcast(
            op.unsqueeze(heads, _ints([2])), op.concat(shape, 0), "BIDIRECTIONAL"
        )
        return op.reshape(grouped, _ints([0, config.num_heads, -1, config.head_dim]), True)

    def _attention(self, hidden: Node, layer: int, name: str) -> Node:
        config = self.config
        query, key, value = self.linears(hidden, [f"{name}.{part}_proj" for part in "qkv"])
        query = self._heads(query, config.num_heads)
        key = self._heads(key, config.num_kv_heads)
        value = self._heads(value, config.num_kv_heads)
        past = f"past_key_values.{layer}"
        key = self.cached(self._rotate(key), f"{past}.keypresent.{layer}.key")
        value = self.cached(value, f"{past}.valuepresent.{layer}.value")
        attended = op.scaled_dot_product_attention(
            self._rotate(query),
            self._repeated(key),
            self._repeated(value),
            self.mask,
            _floats(config.head_dim**-0.5),
            name=f"{name}.attention",
        )
        joined = op.transpose(attended, _ints([0, 2, 1, 3]))
        width = config.num_heads * config.head_dim
        return self.linear(op.reshape(joined, _ints([0, 0, width]), True), f"{name}.o_proj")

    def _mlp(self, hidden: Node, name: str) -> Node:
        """SwiGLU: down(silu(gate(x)) * up(x)) (Shazeer 2020, arXiv 2002.05202)."""
        gate = op.swish(self.linear(hidden, f"{name}.gate_proj"))
        up = self.linear(hidden, f"{name}.up_proj")
        return self.linear(op.multiply(gate, up), f"{name}.down_proj")


def _parameter(name: str, shape: list[int], item: type[np.generic]) -> Node:
    parameter = op.parameter(shape, item, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _constant(parts: Sequence[Held], shape: Sequence[int] | None) -> Node:
    """The values, copied into memory that OpenVINO owns.

    Sharing the mapped file would save the copy, but a constant over bfloat16 (which numpy lacks)
    does not keep foreign memory alive and would read what no longer exists.
    """
    first = parts[0].values
    rows = sum(len(part.values) for part in parts)
    tensor = ov.Tensor(OV_TYPES[parts[0].dtype], list(shape or (rows, *first.shape[1:])))
    np.concatenate(
        [part.values for part in parts],
        out=tensor.data.view(first.dtype).reshape(rows, *first.shape[1:]),
    )
    return op.constant(tensor)


def _dimension(node: Node, axes: list[int]) -> Node:
    """The sizes of `axes` as int64 [len(axes)]."""
    return op.gather(op.shape_of(node, "i64"), _ints(axes), _ints(0))


def _ints(values: int | list[int]) -> Node:
    return op.constant(np.array(values, np.int64))


def _floats(values: Any) -> Node:
    return op.constant(np.array(values, np.float32))
