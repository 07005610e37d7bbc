"""The text of an answer whose ids come in pieces: a character only once all of its ids are there,
and nothing of what ends the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.checkpoint.tokenizer import Tokenizer

_HALF = "\N{REPLACEMENT CHARACTER}"  # what bytes that are no whole character are decoded to


class AnswerText:
    """The text of one answer, which ends before the first of `stops`."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._tokenizer = tokenizer
        self._stops = stops
        self._ids: list[int] = []
        # A token's text depends on the one before it: ids are decoded from `_start` on, and those
        # before `_given` have been given.
        self._start = self._given = 0
        self._held = ""
        self.stopped = False
        """Whether one of `stops` came."""

    def add(self, ids: Iterable[int], *, last: bool) -> str:
        """The text that is new with these ids; `last` are the answer's last ones."""
        if self.stopped:
            return ""
        self._ids += [each for each in ids if self._tokenizer.knows(each)]
        self._held += self._decoded(last)
        ends = [at for at in map(self._held.find, self._stops) if at >= 0]
        if ends:
            self.stopped = True
            return self._held[: min(ends)]
        keep = 0 if last else self._begun()
        new, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return new

    def _decoded(self, last: bool) -> str:
        before = self._tokenizer.plain_text(self._ids[self._start : self._given])
        now = self._tokenizer.plain_text(self._ids[self._start :])
        if len(now) <= len(before) or (now.endswith(_HALF) and not last):
            return ""
        self._start, self._given = self._given, len(self._ids)
        return now[len(before) :]

    def _begun(self) -> int:
        """Characters at the end that may be the beginning of a stop."""
        longest = max((len(stop) - 1 for stop in self._stops), default=0)
        return next(
            (
                size
                for size in range(min(longest, len(self._held)), 0, -1)
                if any(stop.startswith(self._held[-size:]) for stop in self._stops)
            ),
            0,
        )
