"""The rotary embedding that a `config.json` states, in either spelling or in both.

transformers 4 writes `rope_theta` and `rope_scaling`, transformers 5 `rope_parameters`. Of two
statements that disagree none is picked, because the wrong one ruins a model without an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from build_engine.checkpoint.fields import (
    disagreement,
    positive_float,
    positive_int,
    wrong_value,
)
from build_engine.errors import CheckpointError

DEFAULT_THETA = 10_000.0  # of transformers' LlamaConfig
_SPELLINGS = ("rope_scaling", "rope_parameters")
_ALWAYS = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
_KEYS = {
    "default": _ALWAYS,
    "linear": _ALWAYS | {"factor", "original_max_position_embeddings"},
    "llama3": _ALWAYS
    | {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"},
}
ROPE_TYPES = tuple(_KEYS)


@dataclass(frozen=True, slots=True)
class RopeScaling:
    """How the rotary frequencies are stretched; the last three fields matter to `llama3` only."""

    rope_type: str
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192


def parse_rope(raw: Mapping[str, Any], source: str) -> tuple[float, RopeScaling | None]:
    """Theta and scaling of a parsed `config.json`, which errors call `source`.

    Raises CheckpointError for a type other than `ROPE_TYPES`, a key that such a type does not have,
    and statements that disagree.
    """
    stated = {key: _object(raw, key, source) for key in _SPELLINGS if raw.get(key)}
    thetas = {
        f"{key}.rope_theta": positive_float(said, "rope_theta", source)
        for key, said in stated.items()
        if said.get("rope_theta") is not None
    }
    if raw.get("rope_theta") is not None:
        thetas["rope_theta"] = positive_float(raw, "rope_theta", source)
    scalings = {key: _scaling(key, said, source) for key, said in stated.items()}
    if raw.get("partial_rotary_factor") is not None:
        _require_whole(raw, source)
    return (
        _one_of(thetas, source, DEFAULT_THETA),
        _one_of(scalings, source, None),
    )


def _one_of(statements: Mapping[str, Any], source: str, default: Any) -> Any:
    """What all of them say; `default` where there is none."""
    said = list(statements.items())
    for key, value in said[1:]:
        if value != said[0][1]:
            first = f"{said[0][0]} is {_shown(said[0][1])}"
            raise disagreement(source, first, f"{key} is {_shown(value)}")
    return said[0][1] if said else default


def _shown(value: float | RopeScaling | None) -> str:
    if isinstance(value, RopeScaling):
        return f"{value.rope_type} with factor {value.factor:g}"
    return "default" if value is None else f"{value:g}"


def _object(raw: Mapping[str, Any], key: str, source: str) -> Mapping[str, Any]:
    stated = raw[key]
    if not isinstance(stated, Mapping):
        raise CheckpointError(wrong_value(key, stated, "an object", source))
    return stated


def _scaling(key: str, said: Mapping[str, Any], source: str) -> RopeScaling | None:
    old, new = said.get("type"), said.get("rope_type")
    if old is not None and new is not None and old != new:
        raise disagreement(source, f"{key}.type is {old}", f"{key}.rope_type is {new}")
    rope_type = new or old or "default"
    if not isinstance(rope_type, str) or rope_type not in _KEYS:
        raise CheckpointError(
            f"{source}: rope type {rope_type} cannot be built; choose a checkpoint with one of: "
            f"{', '.join(ROPE_TYPES)}."
        )
    for unknown in sorted(said.keys() - _KEYS[rope_type]):
        if said[unknown] is not None:
            raise CheckpointError(
                f"{source}: {key} has `{unknown}`, which rope type {rope_type} does not have; "
                "correct config.json."
            )
    _require_whole(said, source)
    if rope_type == "default":
        return None
    factor = positive_float(said, "factor", source)
    if rope_type == "linear":
        return RopeScaling("linear", factor)
    low = positive_float(said, "low_freq_factor", source)
    high = positive_float(said, "high_freq_factor", source)
    if high <= low:
        raise CheckpointError(
            f"{source}: high_freq_factor {high} must be greater than low_freq_factor {low}; "
            "correct config.json."
        )
    original = positive_int(said, "original_max_position_embeddings", source)
    return RopeScaling("llama3", factor, low, high, original)


def _require_whole(said: Mapping[str, Any], source: str) -> None:
    """The whole of each head is rotated, as in every Llama; transformers would obey the field."""
    if positive_float(said, "partial_rotary_factor", source, default=1.0) != 1.0:
        raise CheckpointError(
            f"{source}: partial_rotary_factor is {said['partial_rotary_factor']}, and only heads "
            "that are rotated whole can be built; choose another checkpoint."
        )
