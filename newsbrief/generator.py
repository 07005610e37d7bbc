"""Writes news articles and their highlights, the same ones everywhere.

Article number `index` of a split depends on nothing but the two: each has its own random stream.
An article opens with its lead (or one background sentence before it); the facts, the ending and
the background follow in shuffled order. The highlights restate the facts in fixed words, so they
follow from the article alone.
"""

from __future__ import annotations

import random
import string
from collections.abc import Iterator
from dataclasses import dataclass

from newsbrief.slots import FRESH, Filler
from newsbrief.topics import ASIDES, TOPICS, Topic

SPLITS = ("train", "validation", "calibration")

SHORTEST_CHARS, LONGEST_CHARS = 640, 1_450
"""An article's length is drawn from this range, and overshot by less than one sentence.

In tokens of the bundled tokenizer that is about 130 to 340.
"""


@dataclass(frozen=True, slots=True)
class Article:
    """One sample: `highlights` holds two or three sentences, one per line."""

    id: str
    article: str
    highlights: str


def article(split: str, index: int) -> Article:
    """The article with this number (0 or more, without an upper limit) in a split.

    Raises ValueError if the split does not exist or the index is negative.
    """
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r}; choose one of {', '.join(SPLITS)}")
    if index < 0:
        raise ValueError(f"an article's index cannot be negative, got {index}; start at 0")
    rng = random.Random(f"newsbrief/{split}/{index}")  # a string seed goes through SHA-512
    topic = rng.choice(TOPICS)
    text, highlights = _Writer(rng, topic).write()
    return Article(f"{split}-{index:06d}", text, highlights)


def articles(split: str, count: int, start: int = 0) -> Iterator[Article]:
    """`count` articles of a split, from number `start`."""
    for index in range(start, start + count):
        yield article(split, index)


def bare_article(index: int) -> Article:
    """A shorter text for the first part of training: the facts without any background."""
    rng = random.Random(f"newsbrief/bare/{index}")
    text, highlights = _Writer(rng, rng.choice(TOPICS)).write(background=False)
    return Article(f"bare-{index:06d}", text, highlights)


class _Writer:
    """Writes one article."""

    def __init__(self, rng: random.Random, topic: Topic) -> None:
        self._rng = rng
        self._topic = topic
        self._filler = Filler(rng)
        self._values = self._filler.fill(topic.slots)

    def write(self, *, background: bool = True) -> tuple[str, str]:
        rng, topic = self._rng, self._topic
        # The square favours short articles: the mean is a third of the way up.
        goal_chars = SHORTEST_CHARS + int((LONGEST_CHARS - SHORTEST_CHARS) * rng.random() ** 2)
        ending = rng.choice(topic.endings) if rng.random() < 0.8 else None
        units = [self._unit(fact.wordings, fact.echoes) for fact in topic.facts]
        if ending is not None:
            units.append(self._unit(ending.wordings, ()))
        lead = self._unit(topic.leads, ())
        if background:
            units += self._asides(goal_chars - len(lead) - sum(len(unit) + 1 for unit in units))
        opener = units.pop() if background and rng.random() < 0.25 else None
        rng.shuffle(units)
        body = [lead, *units] if opener is None else [opener, lead, *units]
        lines = [*topic.highlights, *([] if ending is None else [ending.highlight])]
        return " ".join(body), "\n".join(line.format_map(self._values) for line in lines)

    def _unit(self, wordings: tuple[str, ...], echoes: tuple[str, ...]) -> str:
        text = self._rng.choice(wordings)
        if echoes and self._rng.random() < 0.4:
            text = f"{text} {self._rng.choice(echoes)}"
        return text.format_map(self._values)

    def _asides(self, num_chars: int) -> list[str]:
        """Background sentences of at least `num_chars` characters in all, and at least one."""
        pool = [*self._topic.asides, *self._rng.sample(ASIDES, len(ASIDES))]
        first, rest = pool[: len(self._topic.asides)], pool[len(self._topic.asides) :]
        self._rng.shuffle(first)
        # Two topical sentences come early in the queue, the others are mixed with the general ones.
        tail = first[2:] + rest
        self._rng.shuffle(tail)
        sentences: list[str] = []
        for template in first[:2] + tail:
            if sentences and num_chars <= 0:
                break
            sentences.append(self._fresh(template))
            num_chars -= len(sentences[-1]) + 1
        return sentences

    def _fresh(self, template: str) -> str:
        keys = [field for _, field, _, _ in string.Formatter().parse(template) if field]
        new = self._filler.fill({key: FRESH[key] for key in keys if key in FRESH})
        return template.format_map({**self._values, **new})
