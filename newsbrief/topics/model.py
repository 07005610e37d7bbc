"""The shape of a topic: its slots, the sentences that state its facts, and its summary.

Every sentence is a `str.format` template. No template of a lead, an aside or a highlight starts
with a slot: a name is then always preceded by a space, and has one spelling in tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from newsbrief.slots import Slot


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact that the article states once, in one of several wordings.

    `echoes` are sentences that may follow it: quotes and details which the summary leaves out.
    """

    wordings: tuple[str, ...]
    echoes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """A turn that only some articles of the topic take, and the highlight it leads to."""

    wordings: tuple[str, ...]
    highlight: str


@dataclass(frozen=True, slots=True)
class Topic:
    """One kind of news.

    An article has one lead, every fact, at most one ending, and some asides; its highlights are
    `highlights` and then the ending's, if there is one.
    """

    name: str
    slots: Mapping[str, Slot]
    leads: tuple[str, ...]
    facts: tuple[Fact, ...]
    endings: tuple[Ending, ...]
    asides: tuple[str, ...]
    highlights: tuple[str, ...]
