"""One article with its reference summary, and the checks that every source makes on its records."""

from __future__ import annotations

import itertools
import os
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from build_engine.errors import DatasetError
from build_engine.validation import shortened

Purpose = Literal["evaluation", "calibration"]
_KEYS_SHOWN = 6
_MAX_CHARS = 2**20  # twice what the 131,072 positions of Llama-3.1 hold


@dataclass(frozen=True, slots=True)
class Sample:
    """One article and its reference summary.

    `official_ids` is the official file's own `tok_input` (int32); `id` is the record's, where it
    has one.
    """

    article: str
    reference: str
    official_ids: array[int] | None = None
    id: str | None = None


def text(record: Any, key: str, where: str) -> str:
    """The text under `key`. Raises DatasetError when it is missing, empty, no text, or longer than
    any context.
    """
    value = record.get(key) if isinstance(record, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise DatasetError(
            f"{where} has no text under `{key}`{_keys_beside(record, key)}; fix or remove it."
        )
    if len(value) > _MAX_CHARS:
        raise DatasetError(
            f"{where}: `{key}` has {len(value):,} characters, and no prompt has more than "
            f"{_MAX_CHARS:,}; shorten or remove it."
        )
    _check_characters(value, key, where)
    return value


def _keys_beside(record: Any, missing: str) -> str:
    """The keys that a record has instead of one, where it has any."""
    if not isinstance(record, dict) or not record or missing in record:
        return ""
    names = [f"`{shortened(str(key))}`" for key in itertools.islice(record, _KEYS_SHOWN)]
    more = ", ..." if len(record) > _KEYS_SHOWN else ""
    return f" (its keys are {', '.join(names)}{more})"


def name_text(name: str | Path) -> str:
    """A file's name as text, which a name of other bytes than UTF-8 is not."""
    return os.fsencode(name).decode("utf-8", "replace")


def optional_id(record: Mapping[str, object], where: str) -> str | None:
    """The record's `id`, None when it has none. Raises DatasetError for one that is no text."""
    value = record.get("id")
    if isinstance(value, str) and value:
        _check_characters(value, "id", where)
        return value
    if value is None:
        return None
    if type(value) is int:
        return str(value)
    raise DatasetError(f"{where}: `id` is neither text nor a whole number; fix or remove it.")


def _check_characters(value: str, key: str, where: str) -> None:
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise DatasetError(
            f"{where}: `{key}` holds half of a surrogate pair, which is no character; fix or "
            f"remove it."
        ) from None


def distinct(samples: Iterable[tuple[str, Sample]]) -> Iterator[Sample]:
    """The samples of (where, sample) pairs. Raises DatasetError at the first id that was there."""
    seen: dict[str, str] = {}
    for where, sample in samples:
        if sample.id is not None:
            earlier = seen.setdefault(sample.id, where)
            if earlier is not where:
                raise DatasetError(
                    f"{where} has the id {sample.id} of {earlier}; remove one of the two."
                )
        yield sample
