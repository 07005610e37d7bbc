"""One server with the requests that it has: a replica, to the head of them all.

Everything here happens on one event loop; `submit` and `poll` may come from any thread. A server
that says it is busy gets fewer requests at once; one that says nothing for long, hangs
up or wants another key is lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from build_engine.validation import counted
from runtime.awake import AwakeClock
from runtime.endpoint.answer import Answer, read_answer
from runtime.endpoint.faults import Busy, HungUp, Lost, Refused, connection, require_answer
from runtime.endpoint.identity import place_of
from runtime.endpoint.wire import body_of
from runtime.endpoint.words import words_of
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.messages import Chunks, Fatal, Work

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from runtime.endpoint.key import Key
    from runtime.endpoint.spec import EndpointSpec
    from runtime.endpoint.tokens import Counter

_SIGN_S = 0.5  # between two signs of life for the head
_ANSWERS_A_PLACE = 8  # before a server that was busy is asked for more at once


@dataclass(frozen=True, slots=True)
class Asking:
    """How all servers are asked."""

    spec: EndpointSpec
    key: Key
    session: ClientSession
    fresh: ClientSession
    """Whose connections are used once."""
    prompt: Callable[[Request], str | list[int]]
    counter: Callable[[], Counter]

    async def close(self) -> None:
        """Close all connections."""
        await self.session.close()
        await self.fresh.close()


@dataclass(eq=False)
class Server:
    """See `runtime.replicas.head.Handle`."""

    url: str
    asking: Asking
    loop: asyncio.AbstractEventLoop
    device: str = "a server"
    _waiting: deque[Request] = field(default_factory=deque)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _chunks: list[Chunk] = field(default_factory=list)
    _poll: Future[Chunks | Fatal] | None = None
    _flushing: bool = False
    _cause: str | None = None
    _not_before_s: float = 0.0
    _num_open: int = 0  # requests that came and were not told to be finished
    _running: int = 0
    _reuses: bool = True
    _busy: str | None = None

    def __post_init__(self) -> None:
        self._limit = float(self.asking.spec.in_flight_each)
        self._clock = AwakeClock(self.loop.time)
        self._sign_s = self._clock()
        self.loop.call_soon_threadsafe(self._watch)

    @property
    def node(self) -> str:
        """See `Handle.node`."""
        return place_of(self.url)

    @property
    def most(self) -> int:
        """See `Handle.most`: fewer where it said that it is busy."""
        return int(self._limit)

    def submit(self, work: Work) -> Future[None]:
        """See `Handle.submit`."""
        future: Future[None] = Future()
        self.loop.call_soon_threadsafe(self._take, work.requests, future)
        return future

    def poll(self) -> Future[Chunks | Fatal]:
        """See `Handle.poll`."""
        future: Future[Chunks | Fatal] = Future()
        self.loop.call_soon_threadsafe(self._polled, future)
        return future

    def _take(self, requests: Sequence[Request], future: Future[None]) -> None:
        if not self._num_open:
            self._sign_s = self._clock()
        self._num_open += len(requests)
        self._waiting += requests
        future.set_result(None)
        self._pump()

    def _pump(self) -> None:
        """Send what there is a place for."""
        while self._waiting and self._cause is None and self._running < int(self._limit):
            if not self._running and self.loop.time() < self._not_before_s:
                break  # nothing is open there that could make a place
            task = self.loop.create_task(self._answer(self._waiting.popleft()))
            self._tasks.add(task)
            self._running += 1
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._lose(f"{type(error).__name__}: {error}")  # our own mistake
        self._pump()

    async def _answer(self, request: Request) -> None:
        wait_s = await self._tried(request)
        self._running -= 1
        if wait_s is not None:
            self._narrow(request, wait_s)

    async def _tried(self, request: Request) -> float | None:
        """Have it answered, or say what keeps it from being; seconds to wait where the server is
        busy.
        """
        answer = Answer(request, self.asking.counter())
        try:
            reuses = self._reuses
            try:
                await self._asked(answer, self.asking.session if reuses else self.asking.fresh)
            except HungUp:
                if answer.num_ids or answer.finished or not reuses:
                    raise
                answer = Answer(request, self.asking.counter())
                await self._asked(answer, self.asking.fresh)
                self._reuses = False  # it closes what is idle
        except Busy as busy:
            self._busy = busy.cause
            return busy.wait_s
        except Lost as fault:
            if not answer.finished:
                self._lose(str(fault))
        except (Refused, ValueError) as fault:  # ValueError: Malformed, or without ids
            if not answer.finished:
                self._tell(request, [], finished=True, error=f"{self.node}: {fault}")
        return None

    async def _asked(self, answer: Answer, session: ClientSession) -> None:
        """Raises Lost, Refused, Busy or ValueError."""
        asking, request = self.asking, answer.request
        spec = asking.spec
        body = body_of(request, spec.model, spec.way.ids, asking.prompt(request))

        def tell(ids: list[int]) -> None:
            self._tell(request, ids, finished=answer.finished)

        with connection():
            async with session.post(
                f"{self.url}/v1/completions", data=body, allow_redirects=False
            ) as response:
                await require_answer(response, asking.key)
                self._sign()
                await read_answer(response, answer, self._sign, tell)
        # one more at once after so many answers of each: it may have been busy for others
        more = 1 / (_ANSWERS_A_PLACE * self._limit)
        self._limit = min(self._limit + more, asking.spec.in_flight_each)

    def _sign(self) -> None:
        self._sign_s, self._busy = self._clock(), None

    def _tell(
        self, request: Request, ids: list[int], *, finished: bool, error: str | None = None
    ) -> None:
        import numpy as np

        self._num_open -= finished
        told = None if error is None else words_of(error, self.asking.key)
        self._chunks.append(Chunk(request.id, np.array(ids, np.int32), finished, told))
        if self._poll is not None and not self._flushing:
            self._flushing = True
            self.loop.call_soon(self._flush)  # with what others of this moment have

    def _narrow(self, request: Request, wait_s: float) -> None:
        """Ask for this one again, when one of the others is answered or the server said."""
        self._waiting.appendleft(request)
        # others of the same moment have not ended as tasks
        self._limit = max(1.0, min(self._limit, self._running))
        self._not_before_s = self.loop.time() + wait_s
        self.loop.call_later(wait_s, self._pump)

    def _lose(self, cause: str) -> None:
        if self._cause is None:
            self._cause = words_of(cause, self.asking.key)
            for task in self._tasks:
                task.cancel()
            self._flush()

    def _polled(self, future: Future[Chunks | Fatal]) -> None:
        self._poll = future
        if self._chunks or self._cause is not None:
            self._flush()

    def _flush(self) -> None:
        """Answer the open poll, if there is one: what was told before comes before the end."""
        self._flushing = False
        poll, self._poll = self._poll, None
        if poll is None:
            return
        if self._cause is not None and not self._chunks:
            poll.set_result(Fatal(self._cause))
            return
        chunks, self._chunks = self._chunks, []
        active = len(self._tasks)
        poll.set_result(Chunks.of(chunks, ExecutorStats(active, len(self._waiting))))

    def _watch(self) -> None:
        """A sign of life for the head, and none of the server's for long."""
        idle_s = self.asking.spec.idle_s
        if self._num_open and self._clock() - self._sign_s > idle_s:
            what = f"has been busy ({self._busy})" if self._busy else "has sent nothing"
            still = counted(self._num_open, "request")
            self._lose(f"it {what} for {idle_s:.0f} s, with {still} open")
        self._flush()
        if self._cause is None:
            self.loop.call_later(_SIGN_S, self._watch)
