"""Numbers as the page shows them, each with the exact value beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

NOTHING = "\N{EN DASH}"
"""Where there is no number."""

TIMES = "\N{MULTIPLICATION SIGN}"


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell of a table. `value` is the exact number that `text` shows, None for words; `name` is
    what the number is called in the record.
    """

    text: str
    value: float | None = None
    name: str = ""


def numeric_columns(rows: Sequence[Sequence[Cell]]) -> frozenset[int]:
    """Which columns of a table hold numbers, by their places."""
    return frozenset(
        place for row in rows for place, cell in enumerate(row) if cell.value is not None
    )


def number(value: float | None, unit: str = "", *, name: str = "") -> Cell:
    """A number to three digits or to whole ones."""
    if value is None:
        return Cell(NOTHING)
    return Cell(f"{figure(value)}{unit}", value, name)


def milliseconds(value_s: float | None, *, name: str = "") -> Cell:
    """A time in seconds, shown in milliseconds."""
    if value_s is None:
        return Cell(NOTHING)
    return Cell(figure(value_s * 1e3), value_s, name)


def figure(value: float) -> str:
    """A number to three digits, or to whole ones where that is more: 0.0123, 1.23, 12.3, 1,234."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else NOTHING
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def signed(value: float, decimals: int = 2) -> str:
    """A difference, with its sign."""
    text = f"{value:+.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}")
