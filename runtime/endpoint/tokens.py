"""The ids of an answer: as the server tells them, or of its text by the model's tokenizer.

A tokenizer makes other ids of a text than the model gave where it gave them in an unusual way, so
that a run is marked whose tokens were counted so.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from build_engine.checkpoint.tokenizer import Tokenizer
    from runtime.endpoint.wire import News

# A single space between two words: byte-level tokenizers begin a token there, whatever follows.
_BETWEEN_WORDS = re.compile(r"(?<=\S) (?=\S)")


class Counter(Protocol):
    """What makes ids of what comes of one answer."""

    def take(self, news: News) -> list[int]:
        """The ids that are certain now. Raises ValueError where there are none to be had."""
        ...


class AsTold:
    """The ids that the server tells."""

    def __init__(self) -> None:
        self._begun = False

    def take(self, news: News) -> list[int]:
        """See `Counter.take`."""
        if news.ids:
            self._begun = True
            return news.ids
        # text may come later than its ids, as half a character does, and never before all of them
        if news.text and (news.ids is None or not self._begun):
            raise ValueError("it told text without its ids")
        return []


class Words:
    """How a tokenizer's ids of a text are put together from those of its parts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        whole, first, second = (self._ids(text) for text in ("a b", "a", " b"))
        self.joined = whole == first + second
        """Whether a text's ids are those of its words, each with the space before it."""

    def ids(self, text: str) -> list[int]:
        """Of words that follow others; a tokenizer that begins each text with a space of its own
        gets none.
        """
        return self._ids(text if self.joined else text.removeprefix(" "))

    def first(self, text: str) -> tuple[list[int], str]:
        """The first id of a text and the text after it; none and all of it where that cannot be
        told apart.
        """
        ids = self._ids(text)[:1]
        shown = self._tokenizer.plain_text(ids)
        if not self.joined or not shown or not text.startswith(shown):
            return [], text
        return ids, text[len(shown) :]

    def _ids(self, text: str) -> list[int]:
        if not text:
            return []
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).tolist()
        return found


class ByTokenizer:
    """Those of the text: the first at once, others with the end of their word."""

    def __init__(self, words: Words) -> None:
        self._words = words
        self._begun = False
        self._rest = ""

    def take(self, news: News) -> list[int]:
        """See `Counter.take`."""
        self._rest += news.text
        ids: list[int] = []
        if self._rest and not self._begun:
            ids, self._rest = self._words.first(self._rest)
            self._begun = bool(ids)
        spaces = [found.start() for found in _BETWEEN_WORDS.finditer(self._rest)]
        end = len(self._rest) if news.reason is not None else max(spaces, default=0)
        if end:
            self._begun = True
            ids += self._words.ids(self._rest[:end])
            self._rest = self._rest[end:]
        return ids
