"""What a benchmark hands back: figures with their spread and goals, tables and notes."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured quantity: the median of `samples`, in `unit`.

    `at_least` and `at_most` are the goals, None where there is none.
    """

    name: str
    unit: str
    samples: tuple[float, ...]
    at_least: float | None = None
    at_most: float | None = None

    @property
    def value(self) -> float:
        """The median."""
        return statistics.median(self.samples)

    @property
    def spread(self) -> float:
        """Half the distance between the smallest and the largest sample, as a share of the
        median.
        """
        if not self.value:
            return 0.0
        return (max(self.samples) - min(self.samples)) / 2 / abs(self.value)

    @property
    def goal(self) -> str:
        """The goal and whether it is met, for people; empty where there is none."""
        limit, sign = (self.at_least, ">=") if self.at_least is not None else (self.at_most, "<=")
        if limit is None:
            return ""
        return f"{sign} {limit:,g}: {'met' if self.met else 'MISSED'}"

    @property
    def met(self) -> bool | None:
        """Whether the median meets the goal; None without a goal."""
        if self.at_least is not None:
            return self.value >= self.at_least
        if self.at_most is not None:
            return self.value <= self.at_most
        return None

    def row(self) -> list[str]:
        """Name, value, spread, goal."""
        spread = f"{self.spread * 100:.1f} %" if len(self.samples) > 1 else "-"
        return [self.name, f"{figure(self.value)} {self.unit}".strip(), spread, self.goal]

    def to_json(self) -> dict[str, Any]:
        """Everything, with the derived values."""
        return {
            "name": self.name,
            "value": self.value,
            "unit": self.unit,
            "samples": list(self.samples),
            "spread": self.spread,
            "at_least": self.at_least,
            "at_most": self.at_most,
            "met": self.met,
        }


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under columns."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """All that one benchmark found out."""

    title: str
    figures: tuple[Figure, ...]
    tables: tuple[Table, ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know to judge the figures."""
    details: dict[str, Any] = field(default_factory=dict)
    """Raw values for the JSON file."""

    def to_json(self) -> dict[str, Any]:
        """For the JSON file."""
        return {
            "title": self.title,
            "figures": [item.to_json() for item in self.figures],
            "notes": list(self.notes),
            "details": self.details,
        }


def figure(value: float) -> str:
    """A number with three or four significant digits, for people."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if abs(value) < 10 else f"{value:.1f}"


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Ratio of each pair that was measured one right after the other."""
    return tuple(a / b for a, b in zip(above, below, strict=True))
