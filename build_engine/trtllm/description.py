"""A checkpoint's `config.json` as TensorRT-LLM reads it, every field said.

It is written from our own reading of the model and never taken from a quantiser: the library takes
a rotary field that is missing for base 10000 without scaling, and answers wrongly without an error.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.architecture import ARCHITECTURE, LlamaConfig
from build_engine.checkpoint.rope import RopeScaling
from build_engine.files import write_json
from build_engine.trtllm.algorithm import QuantFormat

if TYPE_CHECKING:
    from build_engine.recipe import RecipeRules

DESCRIPTION = "config.json"
# Those whose layers heed a list of exceptions; for the others a list would replace the library's.
_EXCLUDES_HEAD = ("W8A8_SQ_PER_CHANNEL", "W4A16_AWQ", "W4A8_AWQ", "FP8")


def write_description(
    folder: Path, config: LlamaConfig, form: QuantFormat, rules: RecipeRules, ranks: int
) -> None:
    """Write the `config.json` of a checkpoint for `ranks` GPUs. Raises OSError."""
    write_json(folder / DESCRIPTION, description(config, form, rules, ranks))


def description(
    config: LlamaConfig, form: QuantFormat, rules: RecipeRules, ranks: int
) -> dict[str, object]:
    """The content of `config.json`."""
    return {
        "architecture": ARCHITECTURE,
        "dtype": form.dtype,
        "logits_dtype": "float32",
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_size": config.head_dim,
        "hidden_act": "silu",
        "norm_epsilon": config.rms_norm_eps,
        "max_position_embeddings": config.max_position_embeddings,
        "position_embedding_type": "rope_gpt_neox",
        "rotary_base": config.rope_theta,
        "rotary_scaling": _scaling(config.rope_scaling),
        "attn_bias": config.attention_bias,
        "mlp_bias": config.mlp_bias,
        "residual_mlp": False,
        "use_parallel_embedding": False,
        "embedding_sharding_dim": 0,
        "mapping": {"world_size": ranks, "tp_size": ranks, "pp_size": 1},
        "quantization": _quantization(form, rules),
    }


def described(said: Any) -> tuple[LlamaConfig, QuantFormat, int]:
    """The model, format and number of GPUs that a `config.json` describes: what `description` says.

    The head is always stored, so it is not tied; stop ids are no part of it. Raises KeyError,
    TypeError or ValueError for anything else.
    """
    scaling, quantization = said["rotary_scaling"], said["quantization"]
    config = LlamaConfig(
        hidden_size=said["hidden_size"],
        intermediate_size=said["intermediate_size"],
        num_layers=said["num_hidden_layers"],
        num_heads=said["num_attention_heads"],
        num_kv_heads=said["num_key_value_heads"],
        head_dim=said["head_size"],
        vocab_size=said["vocab_size"],
        rms_norm_eps=said["norm_epsilon"],
        rope_theta=said["rotary_base"],
        rope_scaling=None if scaling is None else RopeScaling(**scaling),
        max_position_embeddings=said["max_position_embeddings"],
        tie_word_embeddings=False,
        eos_token_ids=(),
        attention_bias=said["attn_bias"],
        mlp_bias=said["mlp_bias"],
    )
    form = QuantFormat(
        quant_algo=quantization["quant_algo"],
        kv_cache_quant_algo=quantization["kv_cache_quant_algo"],
        dtype=said["dtype"],
        group_size=quantization["group_size"],
    )
    return config, form, int(said["mapping"]["world_size"])


def _scaling(scaling: RopeScaling | None) -> dict[str, object] | None:
    if scaling is None:
        return None
    if scaling.rope_type == "linear":
        return {"rope_type": "linear", "factor": scaling.factor}
    return asdict(scaling)


def _quantization(form: QuantFormat, rules: RecipeRules) -> dict[str, object]:
    """Only keys of the library's QuantConfig: another one is an error there."""
    said: dict[str, object] = {
        "quant_algo": form.quant_algo,
        "kv_cache_quant_algo": form.kv_cache_quant_algo,
        "group_size": form.group_size,
        "has_zero_point": False,
        "pre_quant_scale": form.is_grouped,
        "exclude_modules": ["lm_head"] if form.quant_algo in _EXCLUDES_HEAD else None,
    }
    if rules.smoothquant_alpha is not None:
        said["smoothquant_val"] = rules.smoothquant_alpha
    return said
