"""What the `config.json` of a Llama checkpoint says: the facts that decide the network.

Only `LlamaForCausalLM` is accepted, and only unquantised. A fact that the file states twice and not
alike is refused with both statements: none is picked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.fields import (
    disagreement,
    flag,
    positive_float,
    positive_int,
    wrong_value,
)
from build_engine.checkpoint.rope import RopeScaling, parse_rope
from build_engine.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ARCHITECTURE = "LlamaForCausalLM"
_MOST_LAYERS = 1024  # eight times those of the largest Llama


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

        plain, scaling = self.plain_frequencies, self.rope_scaling
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
    def plain_frequencies(self) -> NDArray[np.float32]:
        """Rotary frequencies before they are scaled."""
        import numpy as np

        exponents = np.arange(0, self.head_dim, 2, dtype=np.float32) / np.float32(self.head_dim)
        plain: NDArray[np.float32] = np.float32(1) / np.float32(self.rope_theta) ** exponents
        return plain

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
    Raises CheckpointError for another architecture, a quantised checkpoint, what `parse_rope`
    refuses, a missing or impossible value, and a fact that is stated twice and not alike.
    """
    source = str(folder / "config.json")
    _require_llama(raw, source)
    _require_unquantised(raw, source)
    _require_one_type(raw, source)
    hidden_size = positive_int(raw, "hidden_size", source)
    num_heads = positive_int(raw, "num_attention_heads", source)
    num_kv_heads = positive_int(raw, "num_key_value_heads", source, default=num_heads)
    if num_heads % num_kv_heads:
        raise CheckpointError(
            f"{source}: num_attention_heads {num_heads} is not a multiple of num_key_value_heads "
            f"{num_kv_heads}; correct config.json or take another checkpoint."
        )
    if raw.get("head_dim") is None and hidden_size % num_heads:
        raise CheckpointError(
            f"{source}: hidden_size {hidden_size} is not a multiple of num_attention_heads "
            f"{num_heads}, and no head_dim is given; correct config.json."
        )
    head_dim = positive_int(raw, "head_dim", source, default=hidden_size // num_heads)
    if head_dim % 2:
        raise CheckpointError(
            f"{source}: head_dim {head_dim} is odd, and rotary embeddings need an even one; "
            "correct config.json."
        )
    rope_theta, rope_scaling = parse_rope(raw, source)
    vocab_size = positive_int(raw, "vocab_size", source)
    if "eos_token_id" in generation:
        eos, eos_source = generation["eos_token_id"], str(folder / "generation_config.json")
    else:
        eos, eos_source = raw.get("eos_token_id"), source
    return LlamaConfig(
        hidden_size=hidden_size,
        intermediate_size=positive_int(raw, "intermediate_size", source),
        num_layers=positive_int(raw, "num_hidden_layers", source, most=_MOST_LAYERS),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        vocab_size=vocab_size,
        rms_norm_eps=positive_float(raw, "rms_norm_eps", source, default=1e-6),
        rope_theta=rope_theta,
        rope_scaling=rope_scaling,
        max_position_embeddings=positive_int(raw, "max_position_embeddings", source, default=2048),
        tie_word_embeddings=flag(raw, "tie_word_embeddings", source),
        eos_token_ids=_stop_ids(eos, vocab_size, eos_source),
        attention_bias=flag(raw, "attention_bias", source),
        mlp_bias=flag(raw, "mlp_bias", source),
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


def _require_unquantised(raw: Mapping[str, Any], source: str) -> None:
    said = raw.get("quantization_config") or raw.get("compression_config")
    if said:
        method = said.get("quant_method") if isinstance(said, Mapping) else None
        raise CheckpointError(
            f"{source}: the checkpoint is quantised already (quantization_config: "
            f"{method or 'of no named method'}); take the unquantised checkpoint that it was made "
            "from: a recipe quantises it here."
        )


def _require_one_type(raw: Mapping[str, Any], source: str) -> None:
    """`dtype` is what transformers 5 writes for `torch_dtype`. Which of the stored types it is does
    not matter: tensors say that themselves.
    """
    old, new = (str(raw.get(key) or "").removeprefix("torch.") for key in ("torch_dtype", "dtype"))
    if old and new and old != new:
        raise disagreement(source, f"torch_dtype is {old}", f"dtype is {new}")


def _stop_ids(value: object, vocab_size: int, source: str) -> tuple[int, ...]:
    """One id, several in a list, or none at all."""
    ids = value if isinstance(value, list) else [] if value is None else [value]
    for item in ids:
        if not isinstance(item, int) or isinstance(item, bool) or not 0 <= item < vocab_size:
            wanted = f"an id below {vocab_size}"
            raise CheckpointError(wrong_value("eos_token_id", item, wanted, source))
    return tuple(ids)
