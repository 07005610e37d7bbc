"""Scripted answers: started at a rate, each with the same latencies, whatever is asked."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from runtime.executor import Chunk, ExecutorStats, Request

if TYPE_CHECKING:
    from runtime.executor import TokenIds
    from runtime.simulated.spec import SimulatedSpec


class ScriptedAnswers:
    """Chunks of `ids` that are due at the times of a `SimulatedSpec`."""

    def __init__(self, spec: SimulatedSpec, ids: TokenIds) -> None:
        self._spec = spec
        self._ids = ids
        self._at_once: list[Chunk] = []
        self._later: list[tuple[float, int, Chunk]] = []  # (time, tie-break, chunk): a heap
        self._next_start_s = 0.0
        self._number = 0

    def add(self, request: Request, arrived_s: float) -> None:
        """Answer a request that came at this time."""
        ids = self._ids[: min(self._spec.num_tokens, request.max_new_tokens)]
        if self._spec.instant:
            self._at_once.append(Chunk(request.id, ids, True))
            return
        start_s = max(arrived_s, self._next_start_s)
        if self._spec.samples_per_s:
            self._next_start_s = start_s + 1.0 / self._spec.samples_per_s
        first_s = start_s + self._spec.ttft_s
        self._push(first_s, Chunk(request.id, ids[:1], len(ids) <= 1))
        if len(ids) > 1:
            last_s = first_s + (len(ids) - 1) * self._spec.tpot_s
            self._push(last_s, Chunk(request.id, ids[1:], True))

    def due(self, now_s: float) -> list[Chunk]:
        """The chunks up to this time, in order, each once."""
        chunks, self._at_once = self._at_once, []
        while self._later and self._later[0][0] <= now_s:
            chunks.append(heapq.heappop(self._later)[2])
        return chunks

    @property
    def next_s(self) -> float | None:
        """When there is more; None where nothing was asked."""
        return self._later[0][0] if self._later else None

    def stats(self, num_open: int) -> ExecutorStats:
        """With so many requests that are not answered yet."""
        return ExecutorStats(active=num_open, queued=0)

    def _push(self, at_s: float, chunk: Chunk) -> None:
        heapq.heappush(self._later, (at_s, self._number, chunk))
        self._number += 1
