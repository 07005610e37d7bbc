"""Whether an engine that has requests still works on them: it does as long as it gives signs.

A sign is a token, or figures that have changed: engines tell them after their iterations. How long
one iteration may take is known only from the engine itself, which may be slow at long prompts.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from build_engine.validation import counted

if TYPE_CHECKING:
    from runtime.executor import Chunk, ExecutorStats

LEAST_S = 60.0
"""Silence that every engine may keep."""
MOST_S = 600.0
"""Silence that none may keep; the first iteration may take so long."""

_TIMES = 20  # the longest silence so far: of prompts far shorter than the longest, perhaps


class Signs:
    """The signs of one engine. Any thread may say that it was given requests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._num_open = 0
        self._sign_s = 0.0
        self._longest_s: float | None = None
        self._stats: ExecutorStats | None = None

    def given(self, num_requests: int) -> None:
        """The engine has so many more requests."""
        with self._lock:
            if not self._num_open:
                self._sign_s = self._clock()
            self._num_open += num_requests

    def missed(self, chunks: Sequence[Chunk], stats: ExecutorStats) -> str | None:
        """Take in what the engine told since the last call; why it counts as hung, None where it
        does not.
        """
        with self._lock:
            now_s = self._clock()
            silent_s = now_s - self._sign_s
            iterated = stats.iteration_s is not None and stats != self._stats
            if chunks or stats != self._stats:
                if self._num_open and (iterated or any(len(chunk.token_ids) for chunk in chunks)):
                    self._longest_s = max(self._longest_s or 0.0, silent_s)
                self._num_open -= sum(chunk.finished for chunk in chunks)
                self._sign_s, self._stats = now_s, stats
            elif self._num_open and silent_s > self._limit_s:
                still = counted(self._num_open, "request")
                return f"its engine gave no sign for {self._limit_s:.0f} s, with {still} open there"
        return None

    @property
    def _limit_s(self) -> float:
        if self._longest_s is None or self._stats is None or self._stats.iteration_s is None:
            return MOST_S  # it has made nothing yet, or tells of whole answers only
        return min(max(LEAST_S, _TIMES * self._longest_s), MOST_S)
