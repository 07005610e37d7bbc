"""Between the server's event loop and an executor: who may ask, whose tokens are whose, and what
becomes of a request that nobody waits for any more.

A thread polls the executor. All else happens in the event loop, without a lock.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from build_engine.errors import EngineDied
from runtime.executor import NO_CACHE_LEFT, Cancelling, Foresighted
from runtime.server.refusal import ENDING, FAILED, NO_CACHE, NO_ENGINE, OVERLOADED, Refused
from runtime.server.turnover import Turnover

if TYPE_CHECKING:
    from runtime.executor import Chunk, Executor, Request, Unservable

_POLL_S = 0.1
_LAST_POLL_S = 2.0  # for the latest one to end: how an engine died may take long to be known


class Gone(Exception):
    """Whoever asked has hung up."""


class Ticket:
    """A place in the server, from the arrival of a request until the engine is done with it."""

    def __init__(self, dispatcher: Dispatcher, number: int) -> None:
        self._dispatcher = dispatcher
        self._chunks: list[Chunk] = []
        self._wake = asyncio.Event()
        self._fault: Exception | None = None
        self.number = number
        """The request's id."""
        self.arrived_s = time.perf_counter()

    def submit(self, request: Request) -> None:
        """Hand the request to the engine. Raises Refused when the engine is gone."""
        self._dispatcher.submit(self, request)

    async def news(self) -> list[Chunk]:
        """What the engine made since, at least one chunk. Raises Refused where it failed, Gone
        where `give_up` was called.
        """
        await self._wake.wait()
        if self._fault is not None:
            raise self._fault
        self._wake.clear()
        chunks, self._chunks = self._chunks, []
        return chunks

    def add(self, chunk: Chunk) -> None:
        """More of the answer."""
        if chunk.error == NO_CACHE_LEFT:
            what = f"Too much is asked at once: {chunk.error}; come again."
            wait_s = self._dispatcher.wait_s
            self.fail(Refused(NO_CACHE, what, retry_after_s=wait_s))
        elif chunk.error is not None:
            self.fail(Refused(FAILED, f"The engine failed: {chunk.error}."))
        self._chunks.append(chunk)
        self._wake.set()

    def fail(self, fault: Exception) -> None:
        """There will be no more."""
        self._fault = self._fault or fault
        self._wake.set()

    def give_up(self) -> None:
        """Nobody waits for it any more."""
        self.fail(Gone())

    def release(self) -> None:
        """Give the place back: now, or when the engine is done with it. Idempotent."""
        self._dispatcher.release(self)


class Dispatcher:
    """One executor and all that is asked of it. Used in one event loop."""

    def __init__(self, executor: Executor, max_requests: int) -> None:
        self._executor = executor
        self._max_requests = max_requests
        self._tickets: set[Ticket] = set()
        self._asked: dict[int, Ticket] = {}  # that the engine has not finished
        self._left: set[Ticket] = set()  # of these, that nobody waits for
        self._number = 0
        self._turnover = Turnover()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._on_death: Callable[[], None] = lambda: None
        self._ended = False
        self.fault: Exception | None = None
        """What the engine died of, or what was wrong with what it said; None while it is there."""
        self.num_cut = 0
        """Requests that `stop` ended."""

    @property
    def death(self) -> str | None:
        """Why the engine is gone; None while it is there."""
        if self.fault is None or isinstance(self.fault, EngineDied):
            return None if self.fault is None else str(self.fault)
        return f"{type(self.fault).__name__} in what the engine said"

    @property
    def num_open(self) -> int:
        """Places that are taken."""
        return len(self._tickets)

    @property
    def wait_s(self) -> int:
        """Whole seconds after which a request that found no room may come again."""
        return self._turnover.wait_s()

    def start(self, on_death: Callable[[], None]) -> None:
        """Begin to poll, for the event loop that runs; it calls `on_death` when the engine dies."""
        self._on_death = on_death
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._poll, args=(loop,), name="chunks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more requests, and end those that are open. Idempotent."""
        if not self._ended:
            self._ended = True
            self.num_cut = len(self._tickets - self._left)
            for ticket in self._tickets:
                ticket.fail(self._ending())

    def close(self) -> None:
        """Stop polling, or have it stop when the executor is closed, which stays open."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(_LAST_POLL_S)

    def admit(self) -> Ticket:
        """A place for a request. Raises Refused when none is left, or the engine is gone."""
        self._require_engine()
        if self.num_open >= self._max_requests:
            raise Refused(
                OVERLOADED,
                f"{self.num_open} requests are open, as many as are taken at once; come again.",
                retry_after_s=self.wait_s,
            )
        self._number += 1
        ticket = Ticket(self, self._number)
        self._tickets.add(ticket)
        return ticket

    def unservable(self, request: Request) -> Unservable | None:
        """Why the engine cannot serve a request, as far as that is known beforehand."""
        executor = self._executor
        return executor.unservable(request) if isinstance(executor, Foresighted) else None

    def submit(self, ticket: Ticket, request: Request) -> None:
        """See `Ticket.submit`."""
        self._require_engine()
        try:
            self._executor.submit([request])
        except EngineDied as error:
            raise Refused(NO_ENGINE, str(error)) from None
        self._asked[ticket.number] = ticket
        self._turnover.opened()

    def release(self, ticket: Ticket) -> None:
        """See `Ticket.release`."""
        if ticket.number not in self._asked:
            self._tickets.discard(ticket)
        elif ticket not in self._left:
            self._left.add(ticket)
            if isinstance(self._executor, Cancelling):
                self._executor.cancel([ticket.number])

    def _require_engine(self) -> None:
        if self.death is not None:
            raise Refused(NO_ENGINE, self.death)
        if self._ended:
            raise self._ending()

    def _ending(self) -> Refused:
        return Refused(ENDING, "The server ends, and this request is not answered.")

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while not self._closing.is_set():
                chunks = self._executor.poll(_POLL_S)
                if chunks:
                    loop.call_soon_threadsafe(self._deliver, chunks)
        except Exception as error:  # whatever it is, nobody must wait for ever
            if not self._closing.is_set():
                loop.call_soon_threadsafe(self._die, error)

    def _deliver(self, chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            ticket = self._asked.get(chunk.id)
            if ticket is None:
                self._die(LookupError(f"the engine answered request {chunk.id}, which is not open"))
                return
            if ticket not in self._left:
                ticket.add(chunk)
            if chunk.finished:  # whoever asked may read it as slowly as it likes
                del self._asked[chunk.id]
                self._turnover.ended(answered=ticket not in self._left and not chunk.error)
                self._left.discard(ticket)
                self._tickets.discard(ticket)

    def _die(self, fault: Exception) -> None:
        self.fault = self.fault or fault
        for ticket in self._tickets:
            ticket.fail(Refused(NO_ENGINE, str(self.death)))
        self._tickets -= self._left
        self._asked.clear()
        self._left.clear()
        self._on_death()
