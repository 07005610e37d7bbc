"""Answers from a time model, in the caller's own process.

It never computes anything, so what it measures is the harness: instant answers give the harness's
ceiling, answers at a fixed rate rehearse a run, and a planted fault rehearses a failure. Runs on it
carry the mark `simulated`.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from build_engine.errors import EngineDied
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.spec import SimulatedSpec

if TYPE_CHECKING:
    from runtime.executor import TokenIds


class SimulatedExecutor:
    """An Executor whose answers are copies of a counting sequence, due at times that a
    `SimulatedSpec` sets.
    """

    def __init__(self, spec: SimulatedSpec) -> None:
        import numpy as np

        self._spec = spec
        self._ids: TokenIds = np.arange(100, 100 + max(spec.num_tokens, 1), dtype=np.int32)
        self._instant = spec.samples_per_s is None and not spec.ttft_s and not spec.tpot_s
        self._wake = threading.Condition(threading.Lock())
        self._ready: deque[Chunk] = deque()
        self._due: list[tuple[float, int, Chunk]] = []  # (time, tie-break, chunk): a heap
        self._next_start_s = 0.0
        self._num_submitted = 0
        self._num_finished = 0
        self._died: str | None = None

    def submit(self, requests: Sequence[Request]) -> None:
        """See `Executor.submit`."""
        with self._wake:
            if self._died:
                raise EngineDied(self._died)
            for request in requests:
                self._answer(request)
            self._wake.notify()

    def poll(self, timeout_s: float) -> list[Chunk]:
        """See `Executor.poll`."""
        deadline_s = time.monotonic() + timeout_s
        with self._wake:
            while True:
                if self._died:
                    raise EngineDied(self._died)
                now_s = time.monotonic()
                while self._due and self._due[0][0] <= now_s:
                    self._ready.append(heapq.heappop(self._due)[2])
                if self._ready:
                    chunks = list(self._ready)
                    self._ready.clear()
                    self._num_finished += sum(chunk.finished for chunk in chunks)
                    return chunks
                if now_s >= deadline_s:
                    return []
                next_s = min(self._due[0][0], deadline_s) if self._due else deadline_s
                self._wake.wait(next_s - now_s)

    def stats(self) -> ExecutorStats:
        """See `Executor.stats`."""
        return ExecutorStats(active=self._num_submitted - self._num_finished, queued=0)

    def close(self) -> None:
        """See `Executor.close`."""
        with self._wake:
            self._died = self._died or "the simulated engine was closed"
            self._wake.notify_all()

    def _answer(self, request: Request) -> None:
        number = self._num_submitted
        self._num_submitted += 1
        if self._spec.fault and number == self._spec.fault_after:
            self._fail(request)
            return
        ids = self._ids[: min(self._spec.num_tokens, request.max_new_tokens)]
        if self._instant:
            self._ready.append(Chunk(request.id, ids, True))
            return
        now_s = time.monotonic()
        start_s = max(now_s, self._next_start_s)
        if self._spec.samples_per_s:
            self._next_start_s = start_s + 1.0 / self._spec.samples_per_s
        first_s = start_s + self._spec.ttft_s
        last_s = first_s + (len(ids) - 1) * self._spec.tpot_s
        heapq.heappush(self._due, (first_s, 2 * number, Chunk(request.id, ids[:1], len(ids) == 1)))
        if len(ids) > 1:
            heapq.heappush(self._due, (last_s, 2 * number + 1, Chunk(request.id, ids[1:], True)))

    def _fail(self, request: Request) -> None:
        if self._spec.fault == "die":
            self._died = f"the simulated engine died at answer {self._spec.fault_after}, as told"
        elif self._spec.fault == "error":
            self._ready.append(Chunk(request.id, self._ids[:0], True, error="failed as told"))
