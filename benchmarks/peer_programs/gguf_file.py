"""A Llama checkpoint in Hugging Face layout as a GGUF file, for llama.cpp."""

from __future__ import annotations

import importlib
import json
import math
from pathlib import Path
from typing import Any

_LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
_OTHER_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
}
_TOKEN_NORMAL, _TOKEN_CONTROL = 1, 3  # of llama.cpp's enum of token types


def write_gguf(folder: Path, path: Path, weights: str) -> None:
    """Write the checkpoint of `folder` to `path`, matrices in `weights` (F32, F16, Q8_0, Q4_0).

    With Q4_0 the embedding, and with it a tied head, is Q8_0, as in this project's int4 recipes.
    """
    gguf: Any = importlib.import_module("gguf")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(str(path), "llama")
    _add_facts(writer, config)
    _add_tokenizer(writer, folder, config)
    _add_tensors(writer, gguf, folder, config, weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_facts(writer: Any, config: dict[str, Any]) -> None:
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(_head_dim(config))
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, folder: Path, config: dict[str, Any]) -> None:
    """The vocabulary; prompts come as ids, so merges and pre-tokenisation do not matter."""
    tokenizer = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    special = {item["id"] for item in tokenizer["added_tokens"] if item["special"]}
    by_id = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    by_id |= {item["id"]: item["content"] for item in tokenizer["added_tokens"]}
    size = config["vocab_size"]
    merges = tokenizer["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list([by_id.get(i, f"<unused_{i}>") for i in range(size)])
    writer.add_token_types([_TOKEN_CONTROL if i in special else _TOKEN_NORMAL for i in range(size)])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_add_bos_token(False)


def _add_tensors(
    writer: Any, gguf: Any, folder: Path, config: dict[str, Any], weights: str
) -> None:
    import numpy as np
    import torch
    from safetensors import safe_open

    types = gguf.GGMLQuantizationType
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118  not a mapping
                values = np.ascontiguousarray(tensors.get_tensor(name).to(torch.float32).numpy())
                target = _gguf_name(name)
                kind = target.split(".")[-2]
                if kind in heads:
                    values = _interleave(values, heads[kind])
                chosen = weights if values.ndim > 1 else "F32"
                if weights == "Q4_0" and kind in ("token_embd", "output"):
                    chosen = "Q8_0"
                data = gguf.quants.quantize(values, types[chosen])
                writer.add_tensor(target, data, raw_dtype=types[chosen])
    factors = _rope_factors(config)
    if factors is not None:
        writer.add_tensor("rope_freqs.weight", factors)


def _gguf_name(name: str) -> str:
    stem = name.removesuffix(".weight")
    if stem in _OTHER_NAMES:
        return f"{_OTHER_NAMES[stem]}.weight"
    _, _, layer, part = stem.split(".", 3)
    return f"blk.{layer}.{_LAYER_NAMES[part]}.weight"


def _interleave(values: Any, num_heads: int) -> Any:
    """llama.cpp rotates neighbouring elements, Hugging Face the two halves of a head."""
    import numpy as np

    shape = (num_heads, 2, values.shape[0] // num_heads // 2, values.shape[1])
    return np.ascontiguousarray(values.reshape(shape).swapaxes(1, 2).reshape(values.shape))


def _head_dim(config: dict[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _rope_factors(config: dict[str, Any]) -> Any:
    """What llama.cpp divides each rotary frequency by; None where the frequencies are plain.

    The rule is that of Llama 3.1: long wavelengths are stretched by `factor`, short ones left, and
    those between are blended.
    """
    import numpy as np

    scaling = config.get("rope_scaling")
    if not scaling:
        return None
    kind = scaling.get("rope_type")
    if kind != "llama3":
        raise SystemExit(f"rope_scaling {kind} is not written to GGUF here; only llama3 is")
    original = scaling["original_max_position_embeddings"]
    low, high = scaling["low_freq_factor"], scaling["high_freq_factor"]
    dim = _head_dim(config)
    factors = []
    for i in range(0, dim, 2):
        wavelength = 2 * math.pi * config["rope_theta"] ** (i / dim)
        share = (original / wavelength - low) / (high - low)
        share = min(1.0, max(0.0, share))
        factors.append(1 / ((1 - share) / scaling["factor"] + share))
    return np.array(factors, np.float32)
