"""Nested values as dotted fields, so that two of them can be compared in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

Fields: TypeAlias = Mapping[str, Any]
"""Values by dotted name."""
Differences: TypeAlias = list[tuple[str, Any, Any]]

ABSENT = "(absent)"


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted name, value) of every value inside of mappings, each name behind `prefix`; a list is
    one value.
    """
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def differences(a: BaseModel, b: BaseModel) -> Differences:
    """(dotted field, plain JSON value in `a`, that in `b`) where two records differ, by field."""
    return different(dict(flat(a.model_dump(mode="json"))), dict(flat(b.model_dump(mode="json"))))


def different(left: Fields, right: Fields) -> Differences:
    """(name, value in `left`, that in `right`) where two sets of fields differ, by name."""
    return [
        (name, left.get(name, ABSENT), right.get(name, ABSENT))
        for name in sorted(left.keys() | right.keys())
        if left.get(name, ABSENT) != right.get(name, ABSENT)
    ]
