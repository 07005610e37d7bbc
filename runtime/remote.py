"""An executor whose engine runs in a process of its own.

The engine's process does all the computing, so the caller's interpreter lock stays free for
LoadGen, and an engine that crashes, or hangs (`runtime/signs.py`), is an `EngineDied` here rather
than the end of the caller, or a wait without one. `runtime/worker.py` is the other end.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

from build_engine.errors import EngineDied, EnvironmentFault
from runtime.awake import AwakeClock
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.messages import Cancel, Chunks, Fatal, Ready, Start, Work
from runtime.outbox import Outbox
from runtime.process import Child, Hangup
from runtime.signs import Signs

if TYPE_CHECKING:
    from runtime.spec import ExecutorSpec

_START_LIMIT_S = 1800.0  # the largest engines load in minutes
_START_TICK_S = 1.0
_CLOSE_GRACE_S = 5.0
_KEPT_BYTES = 200_000  # of what a dead engine wrote
_KEEPING_S = 2.0  # for whoever reads our standard error, who may have stopped


class RemoteExecutor:
    """An Executor over the engine that the module `worker` loads; a backend's executor names it.

    Raises EnvironmentFault where the machine lacks what the engine needs, and EngineDied when it
    does not start for another reason.
    """

    close_grace_s: float | None = None
    """What the process has to end by itself, where it needs longer than others."""
    silence_s: float | None = None
    """What the process may be silent with requests, where that is not left to its own pace."""

    def __init__(self, worker: str, spec: ExecutorSpec) -> None:
        self._child = Child("its process", worker)
        self._outbox = Outbox(self._child.line)
        self._receive_lock = threading.Lock()
        self._received: list[Chunk] = []
        self._signs = Signs(self.silence_s)
        self._stats = ExecutorStats(active=0, queued=0)
        self._died: str | None = None
        try:
            self._tell(Start(spec))
            self._prefix_caching = self._await_ready()
        except BaseException:  # Ctrl-C, too, must not leave the process behind
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._child.pid

    @property
    def prefix_caching(self) -> bool:
        """See `Executor.prefix_caching`."""
        return self._prefix_caching

    def submit(self, requests: Sequence[Request]) -> None:
        """See `Executor.submit`. It waits for nothing: what an engine does not take now is sent
        later, and where one goes without a word, `poll` says how.
        """
        if self._died:
            raise EngineDied(self._died)
        self._signs.given(requests)
        try:
            self._outbox.send(Work.of(requests))
        except Hangup:
            self._take_last_words()
            if self._died:
                raise EngineDied(self._died) from None

    def cancel(self, request_ids: Sequence[int]) -> None:
        """See `Cancelling.cancel`."""
        self._signs.given_up(request_ids)
        self._tell(Cancel(tuple(request_ids)))

    def poll(self, timeout_s: float) -> list[Chunk]:
        """See `Executor.poll`."""
        with self._receive_lock:
            if not self._died:
                try:
                    self._receive(timeout_s)
                except Hangup:
                    self._dead(None)
                self._require_signs()
            chunks, self._received = self._received, []
        if self._died and not chunks:
            raise EngineDied(self._died)
        return chunks

    def stats(self) -> ExecutorStats:
        """See `Executor.stats`."""
        return self._stats

    def close(self) -> None:
        """See `Executor.close`."""
        self._died = self._died or "the engine was closed"
        self._child.end(self.close_grace_s or _CLOSE_GRACE_S)

    def _tell(self, message: object) -> None:
        """Say something to the engine, if it is there; never waits."""
        self._outbox.tell(message)

    def _receive(self, timeout_s: float) -> None:
        """Take in what the engine sent, waiting for it at most `timeout_s`. The caller holds the
        lock. Raises Hangup where it ended without a cause.
        """
        while (message := self._child.line.receive(timeout_s)) is not None:
            if isinstance(message, Chunks):
                self._stats, chunks = message.stats, message.chunks
                self._signs.heard(chunks, message.stats)
                self._received += chunks
            elif isinstance(message, Fatal):
                self._dead(message.cause)
                return
            timeout_s = 0.0

    def _take_last_words(self) -> None:
        """What an engine said that has hung up; whoever polls takes it in itself."""
        if self._receive_lock.acquire(blocking=False):
            try:
                with contextlib.suppress(Hangup):
                    self._receive(0.0)
            finally:
                self._receive_lock.release()

    def _require_signs(self) -> None:
        """Notice an engine that hangs; whoever waits to tell it something waits no more."""
        missed = self._signs.missed()
        if missed is not None and not self._died:
            self._dead(missed)
            self._child.line.close()

    def _await_ready(self) -> bool:
        """Wait until the engine is loaded; whether it caches prefixes."""
        clock = AwakeClock()
        message: object | None = None
        try:
            while message is None and clock() < _START_LIMIT_S:
                message = self._child.line.receive(_START_TICK_S)
        except Hangup:
            raise self._dead(None) from None
        if isinstance(message, Ready):
            return message.prefix_caching
        if isinstance(message, Fatal):
            died = self._dead(message.cause)
            raise EnvironmentFault(message.cause) if message.lacking else died
        raise self._dead(f"it was not ready within {_START_LIMIT_S:.0f} s")

    def _dead(self, cause: str | None) -> EngineDied:
        """The one EngineDied of this executor, with what the process said or how it ended."""
        if self._died is None:
            self._died = f"the engine died: {cause or self._child.obituary()}"
            # a library tells more than one sentence holds: keep it in the log of our own process
            words = (self._child.output(_KEPT_BYTES),)
            keeping = threading.Thread(target=sys.stderr.write, args=words, daemon=True)
            keeping.start()
            keeping.join(_KEEPING_S)
        return EngineDied(self._died)
