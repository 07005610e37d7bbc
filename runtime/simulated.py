"""Answers from a time model, in the caller's own process.

It never computes anything, so what it measures is the harness: instant answers give the harness's
ceiling, answers at a fixed rate rehearse a run, and a planted fault rehearses a failure. Runs on it
carry the mark `simulated`.
"""

from __future__ import annotations

import heapq
import queue
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from build_engine.errors import EngineDied
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.spec import ExecutorSpec

if TYPE_CHECKING:
    from runtime.executor import TokenIds

_MAX_CHUNKS = 512  # in one poll: an engine answers batch by batch too


class SimulatedSpec(ExecutorSpec):
    """Answers from a time model: for tests, harness ceilings and rehearsals."""

    backend: Literal["simulated"] = "simulated"
    num_tokens: int = 128
    """Ids in every answer (fewer where the request asks for fewer)."""
    samples_per_s: float | None = None
    """Answers started a second; None answers at once."""
    ttft_s: float = 0.0
    """Seconds from the start of an answer to its first token."""
    tpot_s: float = 0.0
    """Seconds between two tokens of one answer."""
    fault: Literal["die", "error", "drop"] | None = None
    """What goes wrong with answer number `fault_after`: the engine dies, the request fails, or the
    answer never comes.
    """
    fault_after: int = 0


class SimulatedExecutor:
    """An Executor whose answers are copies of a counting sequence, due at times that a
    `SimulatedSpec` sets.

    Submitting only puts requests into a queue, with the time of their arrival; the thread that
    polls makes the answers.
    """

    def __init__(self, spec: SimulatedSpec) -> None:
        import numpy as np

        self._spec = spec
        self._ids: TokenIds = np.arange(100, 100 + max(spec.num_tokens, 1), dtype=np.int32)
        self._instant = spec.samples_per_s is None and not spec.ttft_s and not spec.tpot_s
        # None wakes a poll that is to see that the engine is closed.
        self._inbox: queue.SimpleQueue[tuple[float, Sequence[Request]] | None] = queue.SimpleQueue()
        self._ready: deque[Chunk] = deque()
        self._due: list[tuple[float, int, Chunk]] = []  # (time, tie-break, chunk): a heap
        self._next_start_s = 0.0
        self._num_received = 0
        self._num_finished = 0
        self._died: str | None = None

    @property
    def prefix_caching(self) -> bool:
        """See `Executor.prefix_caching`: it computes nothing, and so reuses nothing."""
        return False

    def submit(self, requests: Sequence[Request]) -> None:
        """See `Executor.submit`."""
        if self._died:
            raise EngineDied(self._died)
        self._inbox.put((time.monotonic(), requests))

    def poll(self, timeout_s: float) -> list[Chunk]:
        """See `Executor.poll`."""
        deadline_s = time.monotonic() + timeout_s
        while True:
            self._receive()
            now_s = time.monotonic()
            while self._due and self._due[0][0] <= now_s:
                self._ready.append(heapq.heappop(self._due)[2])
            if self._ready:
                chunks = [self._ready.popleft() for _ in range(min(len(self._ready), _MAX_CHUNKS))]
                self._num_finished += sum(chunk.finished for chunk in chunks)
                return chunks
            if self._died:
                raise EngineDied(self._died)
            if now_s >= deadline_s:
                return []
            next_s = min(self._due[0][0], deadline_s) if self._due else deadline_s
            self._receive(next_s - now_s)

    def stats(self) -> ExecutorStats:
        """See `Executor.stats`."""
        return ExecutorStats(active=self._num_received - self._num_finished, queued=0)

    def close(self) -> None:
        """See `Executor.close`."""
        self._died = self._died or "the simulated engine was closed"
        self._inbox.put(None)

    def _receive(self, timeout_s: float = 0.0) -> None:
        """Take what was submitted, waiting for it at most `timeout_s` seconds."""
        try:
            entry = self._inbox.get(timeout_s > 0, timeout_s)
            while True:
                if entry is not None:
                    arrived_s, requests = entry
                    for request in requests:
                        self._answer(request, arrived_s)
                entry = self._inbox.get_nowait()
        except queue.Empty:
            return

    def _answer(self, request: Request, arrived_s: float) -> None:
        if self._died:
            return
        number = self._num_received
        self._num_received += 1
        if self._spec.fault and number == self._spec.fault_after:
            self._fail(request)
            return
        ids = self._ids[: min(self._spec.num_tokens, request.max_new_tokens)]
        if self._instant:
            self._ready.append(Chunk(request.id, ids, True))
            return
        start_s = max(arrived_s, self._next_start_s)
        if self._spec.samples_per_s:
            self._next_start_s = start_s + 1.0 / self._spec.samples_per_s
        first_s = start_s + self._spec.ttft_s
        last_s = first_s + (len(ids) - 1) * self._spec.tpot_s
        heapq.heappush(self._due, (first_s, 2 * number, Chunk(request.id, ids[:1], len(ids) <= 1)))
        if len(ids) > 1:
            heapq.heappush(self._due, (last_s, 2 * number + 1, Chunk(request.id, ids[1:], True)))

    def _fail(self, request: Request) -> None:
        if self._spec.fault == "die":
            self._died = f"the simulated engine died at answer {self._spec.fault_after}, as told"
        elif self._spec.fault == "error":
            self._ready.append(Chunk(request.id, self._ids[:0], True, error="failed as told"))
