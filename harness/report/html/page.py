"""What stands on the page, in order, before it is HTML. All texts are plain: they are escaped where
they are set.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.report.html.cells import Cell
from harness.report.html.charts import Chart


@dataclass(frozen=True, slots=True)
class Stamp:
    """A mark of results, and what it means for a reader."""

    text: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Table:
    """A table with its caption, and notes below it."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = ()
    emphasised: str = ""
    """The name of the row that matters most; "" for none."""


@dataclass(frozen=True, slots=True)
class Group:
    """A section of charts."""

    id: str
    title: str
    lead: str
    charts: tuple[Chart, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """A line of a card."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Card:
    """What one candidate is, and what was measured of it."""

    id: str
    label: str
    marks: tuple[str, ...]
    facts: tuple[Fact, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Titled:
    """A text of several lines under a name."""

    id: str
    label: str
    text: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Tests that are not valid, and which rules they break."""

    text: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Drop:
    """One sample whose answer lost much: texts side by side."""

    title: str
    texts: tuple[Fact, ...]


@dataclass(frozen=True, slots=True)
class DropGroup:
    """The worst samples of one candidate."""

    title: str
    note: str
    drops: tuple[Drop, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """The whole page. `data` is what programs read there, JSON as Python has it."""

    title: str
    about: str
    made_utc: str
    version: str
    stamps: tuple[Stamp, ...]
    recommendation: str
    reasons: tuple[str, ...]
    warnings: tuple[str, ...]
    verdicts: Table
    invalid: tuple[Invalid, ...]
    failures: tuple[str, ...]
    groups: tuple[Group, ...]
    cards: tuple[Card, ...]
    drops: tuple[DropGroup, ...]
    drops_lead: str
    tests: Table
    machines: Table
    commands: tuple[Titled, ...]
    manifests: tuple[Titled, ...]
    data: object

    @property
    def contents(self) -> tuple[Fact, ...]:
        """The sections that are there: id and title."""
        sections = [
            Fact("verdict", "Verdict"),
            *([Fact("failures", "Not measured")] if self.failures else []),
            *(Fact(group.id, group.title) for group in self.groups),
            Fact("candidates", "Each candidate"),
            *([Fact("drops", "Worst answers")] if self.drops else []),
            Fact("tests", "Every test"),
            Fact("provenance", "Provenance"),
        ]
        return tuple(sections)
