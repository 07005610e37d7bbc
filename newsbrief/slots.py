"""What can stand in a sentence's gap: a person, a place, a company, a number, a choice.

A slot is a description; `Filler` draws the value. Within one article names and numbers are
distinct (the days of dates are not), so that a fact has one place in the text that states it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

from newsbrief.names import NameMaker


@dataclass(frozen=True, slots=True)
class Person:
    """A person; fills `{key}` with the full name and `{key_last}` with the surname."""


@dataclass(frozen=True, slots=True)
class Place:
    """A town."""


@dataclass(frozen=True, slots=True)
class Company:
    """A company; `kind` is the last word of its name, or nothing."""

    kind: str = ""


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `low` to `high` (both included), in steps, with thousands commas."""

    low: int
    high: int
    step: int = 1


@dataclass(frozen=True, slots=True)
class Decimal:
    """A number with one digit after the point, from `low` up to below `high`."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Date:
    """A day of the year, as in "12 March"."""


Slot = Person | Place | Company | Number | Decimal | Choice | Date

WEEKDAYS = Choice(("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"))
MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)

FRESH: Mapping[str, Slot] = {
    "x_person": Person(),
    "x_place": Place(),
    "x_company": Company(),
    "x_num": Number(3, 98),
    "x_big": Number(110, 990, 10),
    "x_month": Choice(MONTHS),
    "x_year": Number(1961, 2019),
}
"""Slots of background sentences: drawn anew for each sentence that uses them."""


class Filler:
    """Draws the values of one article's slots and remembers the numbers already used."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._names = NameMaker(rng)
        self._used: set[str] = set()

    def fill(self, slots: Mapping[str, Slot]) -> dict[str, str]:
        """The text of each slot, in the order of the mapping."""
        values: dict[str, str] = {}
        for key, slot in slots.items():
            if isinstance(slot, Person):
                last = self._names.surname()
                values[key] = f"{self._names.first_name()} {last}"
                values[f"{key}_last"] = last
            else:
                values[key] = self._text(slot)
        return values

    def _text(self, slot: Place | Company | Number | Decimal | Choice | Date) -> str:
        if isinstance(slot, Place):
            return self._names.place()
        if isinstance(slot, Company):
            return f"{self._names.company()} {slot.kind}".strip()
        if isinstance(slot, Choice):
            return self._rng.choice(slot.options)
        if isinstance(slot, Date):
            return f"{self._rng.randint(1, 28)} {self._rng.choice(MONTHS)}"
        return self._unused(slot)

    def _unused(self, slot: Number | Decimal) -> str:
        while True:
            if isinstance(slot, Number):
                number = self._rng.randrange(slot.low, slot.high + 1, slot.step)
                is_year = slot.low > 1900 and slot.high < 2100
                text = str(number) if is_year else f"{number:,}"
            else:
                text = f"{self._rng.randrange(slot.low, slot.high)}.{self._rng.randint(1, 9)}"
            if text not in self._used:
                self._used.add(text)
                return text
