"""Values of a checkpoint's `config.json`, each of its type and in its bounds or refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from build_engine.errors import CheckpointError
from build_engine.validation import shortened

_LARGEST = 3.4e38  # of a float32
_LARGEST_SIZE = 2**24  # elements along one axis: sixty times Llama 3's vocabulary


def positive_int(
    raw: Mapping[str, Any],
    key: str,
    source: str,
    default: int | None = None,
    most: int = _LARGEST_SIZE,
) -> int:
    """A whole number from 1 to `most`. Raises CheckpointError, which names `source`."""
    value = raw.get(key)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise CheckpointError(wrong_value(key, value, "a positive integer", source))
    if value > most:
        raise CheckpointError(wrong_value(key, value, f"at most {most:,}", source))
    return value


def positive_float(
    raw: Mapping[str, Any], key: str, source: str, default: float | None = None
) -> float:
    """A number above 0 that a float32 can hold. Raises CheckpointError."""
    value = raw.get(key)
    value = default if value is None else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _LARGEST:
        raise CheckpointError(wrong_value(key, value, "a positive number", source))
    return float(value)


def flag(raw: Mapping[str, Any], key: str, source: str) -> bool:
    """True or false; false where nothing is said. Raises CheckpointError."""
    value = raw.get(key)
    if value is not None and not isinstance(value, bool):
        raise CheckpointError(wrong_value(key, value, "true or false", source))
    return bool(value)


def wrong_value(key: str, value: object, wanted: str, source: str) -> str:
    """The sentence for a value that is not what it must be."""
    found = "missing" if value is None else shortened(f"{value!r}")
    return (
        f"{source}: {key} is {found}, and must be {wanted}; download the checkpoint again or "
        "correct config.json."
    )


def disagreement(source: str, one: str, other: str) -> CheckpointError:
    """The error for one fact that is stated twice, and not alike."""
    return CheckpointError(
        f"{source}: {one} and {other}; these say different things, so correct or remove the one "
        "that the model was not trained with."
    )
