"""One replica, in a process that Ray starts: an executor, and what the head asks of it.

It knows nothing of Ray. `load` is called once, then `submit` and `poll` from a thread each.
"""

from __future__ import annotations

import os
import platform
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from build_engine.libraries import installed_version
from build_engine.paths import cache_root
from build_engine.store.received import Offer, Read, received
from build_engine.store.store import EngineStore
from runtime.backend import load
from runtime.messages import Chunks, Fatal, Work
from runtime.remote import RemoteExecutor
from runtime.replicas.cores import num_physical, own_cores
from runtime.replicas.identity import cards, machine
from runtime.replicas.messages import Core, Loaded, Place
from runtime.signs import Signs
from runtime.worker import last_line

if TYPE_CHECKING:
    from runtime.executor import Chunk, Executor, ExecutorStats
    from runtime.spec import ExecutorSpec

_POLL_S = 1.0  # an answer to a poll is a sign of life, too
# in one reply: Ray carries less than 100 kB inside of it, and anything more by its object store
_MOST_IDS = 16_000
_MOST_CHUNKS = 1_000


class Replica:
    """An executor that is loaded from the store of the machine that it is on."""

    def __init__(self, address: str) -> None:
        self._node = f"{platform.node()} ({address})"
        self._executor: Executor | None = None
        self._ready: deque[Chunk] = deque()
        self._signs: Signs | None = None
        self._seen: ExecutorStats | None = None
        self._failed: str | None = None

    def place(self, offer: Offer | None, gpus: Sequence[str], member: str = "") -> Place:
        """Where this is, and whether the offered engine is there, too; `member` of a cluster is
        what it counts as a machine.
        """
        return Place(
            node=self._node,
            member=member,
            machine=machine(),
            cores=own_cores(),
            gpus=tuple(gpus),
            cards=cards(gpus),
            has_engine=offer is None or offer.found(EngineStore(cache_root())) is not None,
            version=installed_version("enginebench"),
        )

    def load(
        self,
        spec: ExecutorSpec,
        cores: Sequence[Core] | None,
        num_sharing: int,
        offer: Offer | None,
        read: Read,
    ) -> Loaded | Fatal:
        """Load the executor, on these cores alone where some are given, with the offered engine,
        which `read` fetches where it is not here. What keeps it from being loaded is told, not
        raised: it may be an exception that the other side cannot take in.
        """
        try:
            if offer is not None:
                folder = received(EngineStore(cache_root()), offer, read).folder
                spec = spec.model_copy(update={"folder": folder})
            if cores is not None:
                # of this thread, and so of the engine's process that it starts
                os.sched_setaffinity(0, [core.cpu for core in cores])
                spec = spec.on_part(num_physical(cores), num_sharing)
            self._executor = load(spec)
            if not isinstance(self._executor, RemoteExecutor):  # which watches its engine
                self._signs = Signs()
            return Loaded(self._executor.prefix_caching, spec.max_in_flight)
        except EnginebenchError as error:
            return Fatal.of(error)

    def submit(self, work: Work) -> None:
        """Hand requests to the engine. What keeps it from taking them is told by `poll`."""
        assert self._executor is not None
        try:
            requests = work.requests
            if self._signs is not None:
                self._signs.given(requests)
            self._executor.submit(requests)
        except EnginebenchError:
            return  # it has died, and its last chunks come before its cause
        except Exception as error:
            self._failed = _in_words(error)

    def poll(self) -> Chunks | Fatal:
        """What the engine has made since the last call; waits for it a second at most. One that
        does not work any more, though it lives, is closed.
        """
        assert self._executor is not None
        try:
            if self._failed is None and not self._ready:
                self._ready.extend(self._executor.poll(_POLL_S))
                self._failed = self._silence(self._executor.stats())
                if self._failed is not None:
                    self._executor.close()
            if self._failed is not None:
                return Fatal(self._failed)
            return self._reply(self._executor.stats())
        except Exception as error:
            self._executor.close()  # it may hang, and hold what it has
            return Fatal(_in_words(error))

    def _silence(self, stats: ExecutorStats) -> str | None:
        """Why an engine counts as hung that nobody else watches."""
        if self._signs is None:
            return None
        if self._ready or stats != self._seen:
            self._seen = stats
            self._signs.heard(self._ready, stats)
        missed = self._signs.missed()
        return None if missed is None else f"the engine died: {missed}"

    def _reply(self, stats: ExecutorStats) -> Chunks:
        """As much of what is ready as a reply may hold."""
        chunks: list[Chunk] = []
        num_ids = 0
        while self._ready and num_ids < _MOST_IDS and len(chunks) < _MOST_CHUNKS:
            chunk, room = self._ready.popleft(), _MOST_IDS - num_ids
            ids = chunk.token_ids
            if len(ids) > room:
                self._ready.appendleft(replace(chunk, token_ids=ids[room:]))
                chunk = replace(chunk, token_ids=ids[:room], finished=False, error=None)
            chunks.append(chunk)
            num_ids += len(chunk.token_ids)
        return Chunks.of(chunks, stats)

    def close(self) -> None:
        """Stop the engine, and leave no process behind."""
        if self._executor is not None:
            self._executor.close()


def _in_words(error: Exception) -> str:
    known = isinstance(error, EnginebenchError)
    return str(error) if known else f"{type(error).__name__}: {last_line(error)}"
