"""Tiny random Llama checkpoints in Hugging Face layout, written from a seed with numpy alone."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class TinyLlama:
    """What to write. `rope` is the `rope_scaling` of config.json; `std` is wide so that argmax
    margins are clear.
    """

    hidden_size: int = 64
    intermediate_size: int = 128
    num_layers: int = 2
    num_heads: int = 4
    num_kv_heads: int = 2
    head_dim: int = 16
    vocab_size: int = 96
    tied: bool = True
    attention_bias: bool = False
    mlp_bias: bool = False
    dtype: str = "F32"
    num_shards: int = 1
    rope: dict[str, Any] | None = None
    rope_theta: float = 10_000.0
    std: float = 0.15
    seed: int = 0
    config: dict[str, Any] = field(default_factory=dict)
    """Values that overwrite those of config.json; None removes the key."""


LLAMA3_ROPE = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
HF_UNTIED = TinyLlama(
    hidden_size=96,
    intermediate_size=192,
    num_layers=3,
    num_heads=6,
    num_kv_heads=2,
    head_dim=16,
    vocab_size=256,
    tied=False,
    rope=LLAMA3_ROPE,
    rope_theta=500_000.0,
    seed=7,
)
"""The checkpoint of tests/reference/random_llama.json: 3 query heads per KV head, llama3 rope,
untied head.
"""


def tensor_shapes(spec: TinyLlama) -> dict[str, tuple[int, ...]]:
    """Shapes in a fixed order, which fixes the random draw of each tensor."""
    hidden, inner = spec.hidden_size, spec.intermediate_size
    heads, kv_heads = spec.num_heads * spec.head_dim, spec.num_kv_heads * spec.head_dim
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (spec.vocab_size, hidden)}
    for layer in range(spec.num_layers):
        prefix = f"model.layers.{layer}"
        linears = {
            "self_attn.q_proj": (heads, hidden, spec.attention_bias),
            "self_attn.k_proj": (kv_heads, hidden, spec.attention_bias),
            "self_attn.v_proj": (kv_heads, hidden, spec.attention_bias),
            "self_attn.o_proj": (hidden, heads, spec.attention_bias),
            "mlp.gate_proj": (inner, hidden, spec.mlp_bias),
            "mlp.up_proj": (inner, hidden, spec.mlp_bias),
            "mlp.down_proj": (hidden, inner, spec.mlp_bias),
        }
        for name, (num_out, num_in, biased) in linears.items():
            shapes[f"{prefix}.{name}.weight"] = (num_out, num_in)
            if biased:
                shapes[f"{prefix}.{name}.bias"] = (num_out,)
        shapes[f"{prefix}.input_layernorm.weight"] = (hidden,)
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (hidden,)
    shapes["model.norm.weight"] = (hidden,)
    if not spec.tied:
        shapes["lm_head.weight"] = (spec.vocab_size, hidden)
    return shapes


def random_tensors(spec: TinyLlama) -> dict[str, NDArray[np.float32]]:
    """float32 values that the stored type holds exactly; norm weights lie around 1."""
    rng = np.random.default_rng(spec.seed)
    tensors = {}
    for name, shape in tensor_shapes(spec).items():
        values = rng.standard_normal(shape, np.float32) * np.float32(spec.std)
        tensors[name] = _rounded(values + 1 if "norm" in name else values, spec.dtype)
    return tensors


def write_checkpoint(folder: Path, spec: TinyLlama | None = None, **changes: Any) -> Path:
    """Write config.json, generation_config.json, tokenizer.json and the weights; returns
    `folder`.
    """
    spec = replace(spec or TinyLlama(), **changes)
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.num_layers,
        "num_attention_heads": spec.num_heads,
        "num_key_value_heads": spec.num_kv_heads,
        "head_dim": spec.head_dim,
        "vocab_size": spec.vocab_size,
        "rms_norm_eps": 1e-5,
        "rope_theta": spec.rope_theta,
        "rope_scaling": spec.rope,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": spec.tied,
        "attention_bias": spec.attention_bias,
        "mlp_bias": spec.mlp_bias,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": DTYPES[spec.dtype],
        **spec.config,
    }
    config = {key: value for key, value in config.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "generation_config.json").write_text('{"eos_token_id": 2}')
    vocabulary = {f"t{token}": token for token in range(spec.vocab_size)}
    (folder / "tokenizer.json").write_text(
        json.dumps(
            {
                "version": "1.0",
                "added_tokens": [],
                "pre_tokenizer": {"type": "Whitespace"},
                "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "t0"},
            }
        )
    )
    write_weights(folder, random_tensors(spec), spec.dtype, spec.num_shards)
    return folder


def write_weights(
    folder: Path, tensors: dict[str, NDArray[np.float32]], dtype: str, num_shards: int = 1
) -> None:
    """Write `tensors` as `dtype` (F32, F16, BF16) in one file, or in shards with an index."""
    if num_shards == 1:
        _save(folder / "model.safetensors", tensors, dtype)
        return
    names = list(tensors)
    weight_map = {}
    for shard in range(num_shards):
        file = f"model-{shard + 1:05}-of-{num_shards:05}.safetensors"
        chosen = names[shard::num_shards]
        _save(folder / file, {name: tensors[name] for name in chosen}, dtype)
        weight_map.update(dict.fromkeys(chosen, file))
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _save(file: Path, tensors: dict[str, NDArray[np.float32]], dtype: str) -> None:
    """Write the safetensors format by hand: numpy has no bfloat16, so the library cannot do it
    from numpy.
    """
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blobs: list[bytes] = []
    end = 0
    for name, values in tensors.items():
        blobs.append(_encoded(values, dtype))
        begin, end = end, end + len(blobs[-1])
        header[name] = {"dtype": dtype, "shape": list(values.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(blobs))


def _encoded(values: NDArray[np.float32], dtype: str) -> bytes:
    if dtype == "BF16":
        return (np.ascontiguousarray(values).view(np.uint32) >> 16).astype("<u2").tobytes()
    return values.astype("<f4" if dtype == "F32" else "<f2").tobytes()


def _rounded(values: NDArray[np.float32], dtype: str) -> NDArray[np.float32]:
    if dtype == "F16":
        return values.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
        return np.asarray((bits & np.uint32(0xFFFF0000)).view(np.float32))
    return np.ascontiguousarray(values, np.float32)
