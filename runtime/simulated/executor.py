"""Answers from a time model, in the caller's own process.

It never computes anything, so what it measures is the harness: instant answers give the harness's
ceiling, answers at a fixed rate or of a simulated engine rehearse a run, and a planted fault
rehearses a failure. Runs on it carry the mark `simulated`.
"""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from build_engine.errors import EngineDied
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.simulated.batching import BatchedAnswers
from runtime.simulated.script import ScriptedAnswers

if TYPE_CHECKING:
    from runtime.executor import TokenIds
    from runtime.simulated.spec import SimulatedSpec

_MAX_CHUNKS = 512  # in one poll: an engine answers batch by batch too


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
        self._answers: ScriptedAnswers | BatchedAnswers = (
            ScriptedAnswers(spec, self._ids)
            if spec.engine is None
            else BatchedAnswers(spec.engine, self._ids, spec.stream_interval)
        )
        # None wakes a poll that is to see that the engine is closed.
        self._inbox: queue.SimpleQueue[tuple[float, Sequence[Request]] | None] = queue.SimpleQueue()
        self._ready: deque[Chunk] = deque()
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
            self._ready += self._answers.due(now_s)
            if self._ready:
                chunks = [self._ready.popleft() for _ in range(min(len(self._ready), _MAX_CHUNKS))]
                self._num_finished += sum(chunk.finished for chunk in chunks)
                return chunks
            if self._died:
                raise EngineDied(self._died)
            if now_s >= deadline_s:
                return []
            next_s = self._answers.next_s
            self._receive(min(deadline_s if next_s is None else next_s, deadline_s) - now_s)

    def stats(self) -> ExecutorStats:
        """See `Executor.stats`."""
        return self._answers.stats(self._num_received - self._num_finished)

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
        else:
            self._answers.add(request, arrived_s)

    def _fail(self, request: Request) -> None:
        if self._spec.fault == "die":
            self._died = f"the simulated engine died at answer {self._spec.fault_after}, as told"
        elif self._spec.fault == "error":
            self._ready.append(Chunk(request.id, self._ids[:0], True, error="failed as told"))
