"""Whether an engine that has requests still works on them: it does as long as it gives signs, and
as long as these show that it comes on, where they can.

A sign is whatever an engine tells: tokens, or figures, which it tells after its iterations. How
long one iteration may take is known only from the engine itself, which may be slow at long prompts.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from build_engine.validation import counted
from runtime.awake import AwakeClock

if TYPE_CHECKING:
    from runtime.executor import Chunk, ExecutorStats, Request

LEAST_S = 60.0
"""Silence that every engine may keep."""
MOST_S = 600.0
"""Silence that none may keep; the first iteration may take so long."""

_TIMES = 20  # the longest silence so far: of prompts far shorter than the longest, perhaps


class Signs:
    """The signs of one engine, which may be silent for `silence_s` seconds (None: by its own pace).
    Any thread may say that it was given requests, before it has them.
    """

    def __init__(
        self, silence_s: float | None = None, clock: Callable[[], float] | None = None
    ) -> None:
        self._silence_s = silence_s
        self._clock = clock or AwakeClock()
        self._lock = threading.Lock()
        self._prompts: dict[int, int] = {}  # tokens of each open request's
        self._tokens = 0  # of all these
        self._tokens_before = 0  # at the last sign
        self._most_tokens = 0  # that an iteration may have had before it
        self._sign_s = 0.0
        self._longest_s: float | None = None
        self._tells_iterations = False
        self._given_up: set[int] = set()
        self._figures: tuple[int | None, ...] = ()  # the latest of those that move with the work
        self._moved_s = 0.0
        self._longest_unmoved_s: float | None = None

    def given(self, requests: Sequence[Request]) -> None:
        """The engine has these requests, too."""
        with self._lock:
            idle = not self._prompts
            for request in requests:
                self._prompts[request.id] = len(request.prompt_ids)
                self._tokens += len(request.prompt_ids)
            if idle:
                self._sign_s, self._tokens_before = self._clock(), self._tokens
                self._moved_s = self._sign_s

    def given_up(self, request_ids: Sequence[int]) -> None:
        """Nobody waits for these any more: that they end is no work of the engine's."""
        with self._lock:
            self._given_up.update(self._prompts.keys() & set(request_ids))

    def heard(self, chunks: Sequence[Chunk], stats: ExecutorStats) -> None:
        """The engine told this: a sign."""
        with self._lock:
            now_s = self._clock()
            self._tells_iterations = stats.iteration_s is not None
            told = self._tells_iterations or any(len(chunk.token_ids) for chunk in chunks)
            if self._prompts and told:  # a refusal shows no pace
                self._longest_s = max(self._longest_s or 0.0, now_s - self._sign_s)
                self._most_tokens = max(self._most_tokens, self._tokens_before)
            if self._has_moved(chunks, stats):
                if self._prompts:
                    unmoved_s = now_s - self._moved_s
                    self._longest_unmoved_s = max(self._longest_unmoved_s or 0.0, unmoved_s)
                self._moved_s = now_s
            for chunk in chunks:
                if chunk.finished:
                    self._tokens -= self._prompts.pop(chunk.id, 0)
                    self._given_up.discard(chunk.id)
            self._sign_s, self._tokens_before = now_s, self._tokens

    def missed(self) -> str | None:
        """Why the engine counts as hung, once all that it told was heard; None if it does not."""
        with self._lock:
            if not self._prompts:
                return None
            still = f"with {counted(len(self._prompts), 'request')} open"
            limit_s = self._limit_s
            if self._clock() - self._sign_s > limit_s:
                return f"it gave no sign for {limit_s:.3g} s, {still}"
            limit_s = self._most_s(self._longest_unmoved_s)
            if self._sign_s - self._moved_s > limit_s:
                what = "neither a token nor a part of a prompt"
                return f"its iterations brought nothing for {limit_s:.3g} s, {what}, {still}"
            return None

    def _has_moved(self, chunks: Sequence[Chunk], stats: ExecutorStats) -> bool:
        """Whether there is something new of a request, or that cannot be seen from here: where
        iterations or tokens are not counted, and over replicas, each of which is watched itself.
        """
        before = self._figures
        self._figures = (stats.prompt_tokens, stats.tokens, stats.kv_blocks_used)
        counts = None not in (stats.iteration_s, stats.prompt_tokens, stats.tokens)
        if not counts or stats.replicas or self._figures != before:
            return True
        return any(
            len(chunk.token_ids) or (chunk.finished and chunk.id not in self._given_up)
            for chunk in chunks
        )

    @property
    def _limit_s(self) -> float:
        if self._silence_s is not None:
            return self._silence_s
        # one that tells of no iterations tells of whole answers only
        return self._most_s(self._longest_s) if self._tells_iterations else MOST_S

    def _most_s(self, longest_s: float | None) -> float:
        """What an engine may take that has taken `longest_s` so far; None where it has made
        nothing yet.
        """
        if longest_s is None:
            return MOST_S
        # an iteration over more prompts than any before takes the longer
        more = max(1.0, self._tokens / max(1, self._most_tokens))
        return min(max(LEAST_S, _TIMES * longest_s * more), MOST_S)
