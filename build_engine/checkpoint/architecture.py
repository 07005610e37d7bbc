"""What the `config.json` of a Llama checkpoint says: the facts that decide the network.

Only `LlamaForCausalLM` is accepted. Both spellings of the rotary embedding are read: `rope_theta`
with `rope_scaling` (transformers 4) and `rope_parameters` (transformers 5), because a silently
defaulted theta ruins a model without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARCHITECTURE = "LlamaForCausalLM"
_LARGEST = 3.4e38  # of a float32
_LARGEST_SIZE = 2**24  # elements along one axis: sixty times Llama 3's vocabulary
_MOST_LAYERS = 1024  # eight times those of the largest Llama
ROPE_TYPES = ("default", "linear", "llama3")


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How the rotary frequencies are stretched; the last three fields matter to `llama3` only."""

    rope_type: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


@dataclass(frozen=True, slots=True)
class LlamaConfig:
    """The architecture of one Llama checkpoint. Sizes are in elements."""

    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    rms_norm_eps: float
    rope_theta: float
    rope_scaling: RopeScaling | None
    max_position_embeddings: int
    tie_word_embeddings: bool
    eos_token_ids: tuple[int, ...]
    attention_bias: bool
    mlp_bias: bool

    @property
    def inverse_frequencies(self) -> NDArray[np.float32]:
        """Rotary frequencies in radians per position, float32 of shape [head_dim / 2].

        `theta ** (-2i / head_dim)` (Su et al. 2021, arXiv 2104.09864, section 3.4.3), then the
        scaling: `linear` divides all of them by `factor`; `llama3` leaves wavelengths below
        `original / high_freq_factor` alone, divides those above `original / low_freq_factor` by
        `factor` and blends in between. Computed in float32, as the checkpoints were trained.
        """
        import numpy as np

        exponents = np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)
        plain: NDArray[np.float32] = np.float32(1) / np.float32(self.rope_theta) ** exponents
        scaling = self.rope_scaling
        if scaling is None:
            return plain
        stretched: NDArray[np.float32] = plain / np.float32(scaling.factor)
        if scaling.rope_type == "linear":
            return stretched
        turns = np.float32(scaling.original_max_position_embeddings / (2 * np.pi)) * plain
        span = scaling.high_freq_factor - scaling.low_freq_factor
        share = np.clip((turns - scaling.low_freq_factor) / span, 0, 1).astype(np.float32)
        blended: NDArray[np.float32] = (1 - share) * stretched + share * plain
        return blended

    @property
    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor that the checkpoint must hold, by its Hugging Face name; weights are
        [out, in].
        """
        shapes: dict[str, tuple[int, ...]] = {
            "model.embed_tokens.weight": (self.vocab_size, self.hidden_size),
            "model.norm.weight": (self.hidden_size,),
        }
        if not self.tie_word_embeddings:
            shapes["lm_head.weight"] = (self.vocab_size, self.hidden_size)
        for layer in range(self.num_layers):
            shapes.update(self._layer_shapes(f"model.layers.{layer}"))
        return shapes

    def _layer_shapes(self, prefix: str) -> dict[str, tuple[int, ...]]:
        hidden, inner = self.hidden_size, self.intermediate_size
        heads, kv_heads = self.num_heads * self.head_dim, self.num_kv_heads * self.head_dim
        linears = {
            "self_attn.q_proj": (heads, hidden, self.attention_bias),
            "self_attn.k_proj": (kv_heads, hidden, self.attention_bias),
            "self_attn.v_proj": (kv_heads, hidden, self.attention_bias),
            "self_attn.o_proj": (hidden, heads, self.attention_bias),
            "mlp.gate_proj": (inner, hidden, self.mlp_bias),
            "mlp.up_proj": (inner, hidden, self.mlp_bias),
            "mlp.down_proj": (hidden, inner, self.mlp_bias),
        }
        shapes: dict[str, tuple[int, ...]] = {
            f"{prefix}.input_layernorm.weight": (hidden,),
            f"{prefix}.post_attention_layernorm.weight": (hidden,),
        }
        for name, (num_out, num_in, biased) in linears.items():
            shapes[f"{prefix}.{name}.weight"] = (num_out, num_in)
            if biased:
                shapes[f"{prefix}.{name}.bias"] = (num_out,)
        return shapes


def parse_config(
    raw: Mapping[str, Any], generation: Mapping[str, Any], folder: Path
) -> LlamaConfig:
    """Read the parsed `config.json` and `generation_config.json` ({} when absent) of `folder`,
    which errors name.

    The stop ids of `generation_config.json` win over those of `config.json`, as in transformers.
    Raises CheckpointError for another architecture, a rope type other than `ROPE_TYPES`, or a
    missing or impossible value.
    """
    source = str(folder / "config.json")
    _require_llama(raw, source)
    hidden_size = _positive_int(raw, "hidden_size", source)
    num_heads = _positive_int(raw, "num_attention_heads", source)
    num_kv_heads = _positive_int(raw, "num_key_value_heads", source, default=num_heads)
    if num_heads % num_kv_heads:
        raise CheckpointError(
            f"{source}: num_attention_heads {num_heads} is not a multiple of num_key_value_heads "
            f"{num_kv_heads}; correct config.json or take another checkpoint."
        )
    head_dim = _positive_int(raw, "head_dim", source, default=hidden_size // num_heads)
    if head_dim % 2:
        raise CheckpointError(
            f"{source}: head_dim {head_dim} is odd, and rotary embeddings need an even one; "
            "correct config.json."
        )
    rope_theta, rope_scaling = _parse_rope(raw, source)
    vocab_size = _positive_int(raw, "vocab_size", source)
    if "eos_token_id" in generation:
        eos, eos_source = generation["eos_token_id"], str(folder / "generation_config.json")
    else:
        eos, eos_source = raw.get("eos_token_id"), source
    return LlamaConfig(
        hidden_size=hidden_size,
        intermediate_size=_positive_int(raw, "intermediate_size", source),
        num_layers=_positive_int(raw, "num_hidden_layers", source, most=_MOST_LAYERS),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        vocab_size=vocab_size,
        rms_norm_eps=_positive_float(raw, "rms_norm_eps", source, default=1e-6),
        rope_theta=rope_theta,
        rope_scaling=rope_scaling,
        max_position_embeddings=_positive_int(raw, "max_position_embeddings", source, default=2048),
        tie_word_embeddings=_flag(raw, "tie_word_embeddings", source),
        eos_token_ids=_stop_ids(eos, vocab_size, eos_source),
        attention_bias=_flag(raw, "attention_bias", source),
        mlp_bias=_flag(raw, "mlp_bias", source),
    )


def _require_llama(raw: Mapping[str, Any], source: str) -> None:
    named = raw.get("architectures") or []
    architectures = [str(name) for name in named] if isinstance(named, list) else [str(named)]
    model_type = raw.get("model_type")
    if ARCHITECTURE not in architectures or model_type != "llama":
        raise CheckpointError(
            f"{source}: the architecture is {', '.join(architectures) or 'not named'} "
            f"(model_type {model_type}), and only {ARCHITECTURE} can be built; choose a Llama "
            "checkpoint."
        )
    activation = raw.get("hidden_act", "silu")
    if activation != "silu":
        raise CheckpointError(
            f"{source}: hidden_act is {activation}, and only silu can be built; choose another "
            "checkpoint."
        )


def _parse_rope(raw: Mapping[str, Any], source: str) -> tuple[float, RopeScaling | None]:
    key = "rope_parameters" if raw.get("rope_parameters") else "rope_scaling"
    stated = raw.get(key) or {}
    if not isinstance(stated, Mapping):
        raise CheckpointError(_wrong_value(key, stated, "an object", source))
    merged = {"rope_theta": raw.get("rope_theta", 10_000.0), **stated}
    theta = _positive_float(merged, "rope_theta", source)
    rope_type = merged.get("rope_type", merged.get("type", "default"))
    if rope_type not in ROPE_TYPES:
        raise CheckpointError(
            f"{source}: rope type {rope_type} cannot be built; choose a checkpoint with one of: "
            f"{', '.join(ROPE_TYPES)}."
        )
    if rope_type == "default":
        return theta, None
    factor = _positive_float(merged, "factor", source)
    if rope_type == "linear":
        return theta, RopeScaling("linear", factor)
    low = _positive_float(merged, "low_freq_factor", source)
    high = _positive_float(merged, "high_freq_factor", source)
    if high <= low:
        raise CheckpointError(
            f"{source}: high_freq_factor {high} must be greater than low_freq_factor {low}; "
            "correct config.json."
        )
    original = _positive_int(merged, "original_max_position_embeddings", source)
    return theta, RopeScaling("llama3", factor, low, high, original)


def _stop_ids(value: object, vocab_size: int, source: str) -> tuple[int, ...]:
    """One id, several in a list, or none at all."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    for item in ids:
        if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < vocab_size:
            wanted = f"an id below {vocab_size}"
            raise CheckpointError(_wrong_value("eos_token_id", item, wanted, source))
    return tuple(ids)


def _positive_int(
    raw: Mapping[str, Any],
    key: str,
    source: str,
    default: int | None = None,
    most: int = _LARGEST_SIZE,
) -> int:
    value = raw.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(_wrong_value(key, value, "a positive integer", source))
    if value > most:
        raise CheckpointError(_wrong_value(key, value, f"at most {most:,}", source))
    return value


def _positive_float(
    raw: Mapping[str, Any], key: str, source: str, default: float | None = None
) -> float:
    value = raw.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
        raise CheckpointError(_wrong_value(key, value, "a positive number", source))
    return float(value)


def _flag(raw: Mapping[str, Any], key: str, source: str) -> bool:
    value = raw.get(key)
    if value is not None and not isinstance(value, bool):
        raise CheckpointError(_wrong_value(key, value, "true or false", source))
    return bool(value)


def _wrong_value(key: str, value: object, wanted: str, source: str) -> str:
    found = "missing" if value is None else f"{value!r}"
    found = found if len(found) <= 60 else f"{found[:57]}..."
    return (
        f"{source}: {key} is {found}, and must be {wanted}; download the checkpoint again or "
        "correct config.json."
    )
