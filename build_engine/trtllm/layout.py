"""Every tensor of a TensorRT-LLM checkpoint of Llama: name, type, shape, and which part a rank has.

Linear layers are [out, in]. With tensor parallelism a column layer is cut along its outputs, a row
layer along its inputs; norms, embedding and scales that stand for a whole layer are the same on
every rank. Query, key and value are one layer, and each is cut by itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from build_engine.errors import ConfigError, RecipeRefused
from build_engine.trtllm.algorithm import PER_TENSOR, PER_TOKEN

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.trtllm.algorithm import QuantFormat

STORED = {"bfloat16": "BF16", "float16": "F16"}
# of both sides of a quantised layer, or there is no kernel (TensorRT-LLM issues 304, 729)
GEMM_MULTIPLE = 64
EMBEDDING = "transformer.vocab_embedding.weight"
HEAD = "lm_head.weight"
FINAL_NORM = "transformer.ln_f.weight"
INPUT_NORM = "input_layernorm"
POST_NORM = "post_layernorm"
KV_SCALE = "attention.kv_cache_scaling_factor"
QKV = "attention.qkv"
COLUMN = (QKV, "mlp.fc", "mlp.gate")
ROW = ("attention.dense", "mlp.proj")
HF_LINEARS = {
    QKV: ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.dense": ("self_attn.o_proj",),
    "mlp.fc": ("mlp.gate_proj",),  # the one that goes through silu; `mlp.gate` multiplies it
    "mlp.gate": ("mlp.up_proj",),
    "mlp.proj": ("mlp.down_proj",),
}
HF_NORMS = {INPUT_NORM: "input_layernorm", POST_NORM: "post_attention_layernorm"}

# A size is that of the outputs N or inputs K, or a count; `type` is the type of what is not
# quantised. N/2: two rows in a byte, the even one in its low half. K/g: one for each group.
_Kinds: TypeAlias = dict[str, tuple[str, tuple[str, ...]]]
_PLAIN: _Kinds = {"weight": ("type", ("N", "K"))}
_GROUPED: _Kinds = {
    "weight": ("I8", ("N/2", "K")),
    "weights_scaling_factor": ("F32", ("N", "K/g")),
    "prequant_scaling_factor": ("type", ("K",)),
}
_ONE = ("F32", ("1",))
LINEAR_TENSORS: dict[str | None, _Kinds] = {
    None: _PLAIN,
    "W8A16": _PLAIN,
    "W4A16": _PLAIN,
    PER_TENSOR: {
        "weight": ("I8", ("N", "K")),
        "weights_scaling_factor": ("F32", ("N",)),
        "activation_scaling_factor": _ONE,
        "prequant_scaling_factor": ("type", ("K",)),
    },
    PER_TOKEN: {
        "weight": ("I8", ("N", "K")),
        "per_channel_scale": ("F32", ("1", "N")),
        "smoother": ("F32", ("1", "K")),  # of row layers; a norm holds that of column layers
    },
    "W4A16_AWQ": _GROUPED,
    "W4A8_AWQ": {
        **_GROUPED,
        "activation_scaling_factor": _ONE,
        "weights_scaling_factor_2": _ONE,
    },
    "FP8": {
        "weight": ("F8_E4M3", ("N", "K")),
        "weights_scaling_factor": _ONE,
        "activation_scaling_factor": _ONE,
    },
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A tensor of the whole model. `dtype` is safetensors' word; ranks share `axis` (None: each has
    all of it), which is `parts` one after another, each cut by itself.
    """

    dtype: str
    shape: tuple[int, ...]
    axis: int | None = None
    parts: tuple[int, ...] = ()

    def on_rank(self, ranks: int) -> tuple[int, ...]:
        """The shape of one rank's share."""
        return tuple(
            size // ranks if position == self.axis else size
            for position, size in enumerate(self.shape)
        )

    def share(self, values: NDArray[Any], rank: int, ranks: int) -> NDArray[Any]:
        """What `rank` has of `values`, which are of the whole shape."""
        import numpy as np

        assert values.shape == self.shape, (values.shape, self.shape)
        if self.axis is None or ranks == 1:
            return values
        start, cuts = 0, []
        for part in self.parts:
            each = part // ranks
            chosen = slice(start + rank * each, start + (rank + 1) * each)
            cuts.append(values[(slice(None),) * self.axis + (chosen,)])
            start += part
        return np.concatenate(cuts, axis=self.axis) if len(cuts) > 1 else cuts[0]


def tensors(config: LlamaConfig, form: QuantFormat) -> dict[str, TensorSpec]:
    """Every tensor of the whole model by its TensorRT-LLM name, in the order of the model."""
    stored = STORED[form.dtype]
    vocabulary = (config.vocab_size, config.hidden_size)
    found = {EMBEDDING: TensorSpec(stored, vocabulary)}
    for layer in range(config.num_layers):
        prefix = f"transformer.layers.{layer}."
        found.update({prefix + name: spec for name, spec in _layer(config, form)})
    found[FINAL_NORM] = TensorSpec(stored, (config.hidden_size,))
    found[HEAD] = TensorSpec(stored, vocabulary, 0, (config.vocab_size,))
    return found


def check_shapes(config: LlamaConfig, form: QuantFormat, ranks: int) -> None:
    """Return when each layer has kernels and can be cut. Raises ConfigError for the ranks,
    RecipeRefused for the shapes.
    """
    sizes = {
        "num_key_value_heads": config.num_kv_heads,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.vocab_size,
    }
    for name, size in sizes.items():
        if size % ranks:
            raise ConfigError(
                f"limits.tensor_parallel {ranks} does not divide {name} {size} of this "
                "checkpoint; choose one that does."
            )
    if form.quant_algo is None:
        return
    for linear in HF_LINEARS:
        outputs, inputs = linear_size(config, linear)
        outputs //= ranks if linear in COLUMN else 1
        inputs //= ranks if linear in ROW else 1
        multiple = max(GEMM_MULTIPLE, form.group_size) if form.is_grouped else GEMM_MULTIPLE
        for side, size, wanted in (("out", outputs, GEMM_MULTIPLE), ("in", inputs, multiple)):
            if size % wanted:
                raise RecipeRefused(
                    f"{form.quant_algo} needs layers of a multiple of {wanted} elements, and "
                    f"`{linear}` of this checkpoint has {size} {side} on each of {ranks} GPUs; "
                    "choose `fp16` or `bf16`, or another --tensor-parallel."
                )


def linear_size(config: LlamaConfig, linear: str) -> tuple[int, int]:
    """Outputs and inputs of a linear layer of the whole model."""
    heads = config.num_heads * config.head_dim
    return {
        QKV: (sum(qkv_parts(config)), config.hidden_size),
        "attention.dense": (config.hidden_size, heads),
        "mlp.fc": (config.intermediate_size, config.hidden_size),
        "mlp.gate": (config.intermediate_size, config.hidden_size),
        "mlp.proj": (config.hidden_size, config.intermediate_size),
    }[linear]


def pack_int4(values: NDArray[np.int8]) -> NDArray[np.int8]:
    """int8 [N, K] of -8 to 7 as int8 [N/2, K]: the even row in the low half of a byte."""
    import numpy as np

    low, high = values[0::2].view(np.uint8) & 0x0F, values[1::2].view(np.uint8) << 4
    packed: NDArray[np.int8] = (low | high).view(np.int8)
    return packed


def unpack_int4(packed: NDArray[np.int8]) -> NDArray[np.int8]:
    """The inverse of `pack_int4`."""
    import numpy as np

    values = np.empty((2 * packed.shape[0], packed.shape[1]), np.int8)
    values[0::2] = (packed << 4) >> 4  # shifted back with its sign
    values[1::2] = packed >> 4
    return values


def _layer(config: LlamaConfig, form: QuantFormat) -> Iterator[tuple[str, TensorSpec]]:
    stored = STORED[form.dtype]
    for norm in HF_NORMS:
        yield f"{norm}.weight", TensorSpec(stored, (config.hidden_size,))
        if form.quant_algo == PER_TOKEN:
            yield f"{norm}.scale_to_int", TensorSpec("F32", (1,))
    if form.kv_cache_quant_algo is not None:
        yield KV_SCALE, TensorSpec("F32", (1,))
    for linear in HF_LINEARS:
        biased = config.mlp_bias if linear.startswith("mlp.") else config.attention_bias
        kinds = dict(LINEAR_TENSORS[form.quant_algo])
        if linear in COLUMN:
            kinds.pop("smoother", None)
        if biased:
            kinds["bias"] = ("type", ("N",))
        for name, (dtype, sizes) in kinds.items():
            kind = stored if dtype == "type" else dtype
            yield f"{linear}.{name}", _spec(config, form, linear, kind, sizes)


def _spec(
    config: LlamaConfig, form: QuantFormat, linear: str, dtype: str, sizes: tuple[str, ...]
) -> TensorSpec:
    outputs, inputs = linear_size(config, linear)
    lengths = {
        "1": 1,
        "N": outputs,
        "N/2": outputs // 2,
        "K": inputs,
        "K/g": inputs // form.group_size,
    }
    shape = tuple(lengths[size] for size in sizes)
    cut = "N" if linear in COLUMN else "K"
    axis = next((at for at, size in enumerate(sizes) if size.startswith(cut)), None)
    if axis is None:
        return TensorSpec(dtype, shape)
    if linear != QKV:
        return TensorSpec(dtype, shape, axis, (shape[axis],))
    parts = tuple(part * shape[axis] // outputs for part in qkv_parts(config))
    return TensorSpec(dtype, shape, axis, parts)


def qkv_parts(config: LlamaConfig) -> tuple[int, int, int]:
    """Outputs of query, key and value, in their order."""
    kv = config.num_kv_heads * config.head_dim
    return config.num_heads * config.head_dim, kv, kv
