"""SmoothQuant (Xiao et al., arXiv 2211.10438): the range of a linear layer's inputs moves into its
weights, channel by channel, so that both can be rounded to 8 bits.

An input is divided by a factor of its channel and the weights are multiplied by it, which changes
nothing but rounding. The division costs nothing while the engine runs, because it is folded into
what makes the input: a norm, or the rows of the layer before (the value projection for the output
projection, the up projection for the down projection).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import openvino as ov
from numpy.typing import NDArray
from openvino import opset15 as op

from build_engine.openvino.network import Held, Network, Node
from build_engine.openvino.samples import Shown
from build_engine.openvino.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.checkpoint.safetensors_file import StoredTensor
    from build_engine.openvino.samples import Sample
    from build_engine.progress import BuildProgress

    _Ranges: TypeAlias = Mapping[str, NDArray[np.float32]]
    _Tensors: TypeAlias = Mapping[str, StoredTensor]

_LEAST = 1e-5  # of a range: a channel that is never used has no factor of its own
_FLOAT16_MAX = float(np.finfo(np.float16).max)


def smoothed_network(
    config: LlamaConfig,
    tensors: _Tensors,
    alpha: float,
    samples: Sequence[Sample],
    compute: str,
    progress: BuildProgress,
) -> ov.Model:
    """The network of a checkpoint, smoothed for what `samples` showed in arithmetic of `compute`
    (f32, bf16); `alpha` is the share of the inputs' range that moves into the weights.
    """
    ranges = input_ranges(config, tensors, samples, compute, progress)
    return SmoothedNetwork(config, tensors, ranges, alpha).model()


@signal_stack_kept()
def input_ranges(
    config: LlamaConfig,
    tensors: _Tensors,
    samples: Sequence[Sample],
    compute: str,
    progress: BuildProgress,
) -> dict[str, NDArray[np.float32]]:
    """The largest magnitude in each channel of the input of each linear layer, by its name; of
    layers that are one product, by the name of the first.
    """
    network = _Watched(config, tensors)
    model = network.model()
    model.remove_result(model.get_results()[0])  # the logits
    model.add_results([op.result(node) for node in network.watched.values()])
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": compute})
    request = compiled.create_infer_request()
    ranges = {name: np.zeros(1, np.float32) for name in network.watched}
    shown = Shown(len(samples), "each layer is smoothed, and its weights are rounded", progress)
    for sample in samples:
        request.reset_state()
        found = request.infer(shown(sample))
        for position, name in enumerate(ranges):
            ranges[name] = np.maximum(ranges[name], found[position])
    return ranges


class _Watched(Network):
    """The network, with the input range of each linear layer."""

    def __init__(self, config: LlamaConfig, tensors: _Tensors) -> None:
        super().__init__(config, tensors)
        self.watched: dict[str, Node] = {}

    def product(self, hidden: Node, names: Sequence[str]) -> Node:
        self.watched[names[0]] = op.reduce_max(op.abs(hidden), np.array([0, 1]), False)
        return super().product(hidden, names)


@dataclass(frozen=True, slots=True)
class _Change:
    """What the outputs of a tensor are divided by, and its inputs multiplied by."""

    outputs: NDArray[np.float32] | None = None
    inputs: NDArray[np.float32] | None = None

    def applied(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.outputs is not None:
            values = values / self.outputs.reshape(-1, *[1] * (values.ndim - 1))
        return values if self.inputs is None else values * self.inputs


class SmoothedNetwork(Network):
    """The network of a checkpoint with factors folded into its weights. Changed matrices are held
    in float16, which is far finer than the 8 bits that they are rounded to.
    """

    def __init__(
        self, config: LlamaConfig, tensors: _Tensors, ranges: _Ranges, alpha: float
    ) -> None:
        super().__init__(config, tensors)
        self._ranges = ranges
        self._alpha = alpha
        self._changes: dict[str, _Change] = {}
        for layer in range(config.num_layers):
            self._smooth(f"model.layers.{layer}")

    def held(self, name: str) -> Held:
        change = self._changes.get(name)
        if change is None:
            return super().held(name)
        values = change.applied(self.tensors[name].float32())
        fits = values.ndim > 1 and np.abs(values).max() <= _FLOAT16_MAX
        return Held("F16", values.astype(np.float16)) if fits else Held("F32", values)

    def _smooth(self, layer: str) -> None:
        attention, mlp = f"{layer}.self_attn", f"{layer}.mlp"
        query, key, value = (f"{attention}.{part}_proj" for part in "qkv")
        gate, up, down = (f"{mlp}.{part}_proj" for part in ("gate", "up", "down"))
        by_norm = self._factors(query, key, value)
        of_heads = self._head_factors(f"{attention}.o_proj")
        by_post_norm = self._factors(gate, up)
        by_up = self._factors(down)
        heads_share = self.config.num_heads // self.config.num_kv_heads
        changes = {
            f"{layer}.input_layernorm": _Change(outputs=by_norm),
            query: _Change(inputs=by_norm),
            key: _Change(inputs=by_norm),
            value: _Change(outputs=of_heads.reshape(-1), inputs=by_norm),
            f"{attention}.o_proj": _Change(inputs=np.repeat(of_heads, heads_share, 0).reshape(-1)),
            f"{layer}.post_attention_layernorm": _Change(outputs=by_post_norm),
            gate: _Change(inputs=by_post_norm),
            up: _Change(outputs=by_up, inputs=by_post_norm),
            down: _Change(inputs=by_up),
        }
        self._changes |= {f"{name}.weight": change for name, change in changes.items()}
        biases = {value: of_heads.reshape(-1), up: by_up}
        self._changes |= {f"{name}.bias": _Change(outputs=by) for name, by in biases.items()}

    def _factors(self, *linears: str) -> NDArray[np.float32]:
        """Of the channels of the input that these layers share."""
        return self._balanced(self._ranges[linears[0]], self._weight_ranges(*linears))

    def _head_factors(self, output: str) -> NDArray[np.float32]:
        """Of the channels of each key/value head [heads, head size]: heads that share one share
        its factors.
        """
        config = self.config
        shape = (config.num_kv_heads, -1, config.head_dim)
        return self._balanced(
            self._ranges[output].reshape(shape).max(1),
            self._weight_ranges(output).reshape(shape).max(1),
        )

    def _weight_ranges(self, *linears: str) -> NDArray[np.float32]:
        weights = (self.tensors[f"{linear}.weight"].float32() for linear in linears)
        found: NDArray[np.float32] = np.max([np.abs(values).max(0) for values in weights], 0)
        return found

    def _balanced(
        self, inputs: NDArray[np.float32], weights: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """The factors of the paper, inputs^alpha / weights^(1 - alpha), around 1."""
        logs = self._alpha * np.log(np.maximum(inputs, _LEAST))
        logs -= (1 - self._alpha) * np.log(np.maximum(weights, _LEAST))
        found: NDArray[np.float32] = np.exp(logs - logs.mean()).astype(np.float32)
        return found
