"""The head of the replicas: requests in, what the replicas made of them out.

One thread owns everything here and waits for events: new requests, and what the replicas reply. A
poll is open at each replica all the time; it is answered as soon as there is news, and within a
second in any case, so that a replica that says nothing for longer is lost, whatever became of it.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from build_engine.errors import EngineDied
from build_engine.validation import counted
from runtime.awake import AwakeClock
from runtime.executor import ExecutorStats, ReplicaLoad, Request
from runtime.messages import Chunks, Fatal, Work
from runtime.replicas.dispatch import Dispatcher, room_for
from runtime.replicas.meter import Meter

if TYPE_CHECKING:
    from runtime.executor import TokenIds
    from runtime.messages import ChunkRow
    from runtime.replicas.messages import Loaded

SILENCE_S = 20.0
"""A replica that has not answered a poll for so long is lost."""

_TICK_S = 0.5
_USUAL_IN_FLIGHT = 512  # where an engine does not say how many requests it computes at once
_LATEST = 2048  # dispatches that a percentile looks at
# of prompts in one call: Ray carries 10 MiB at most in the arguments of one, in parts of 64 kB
_MOST_PROMPT_IDS = 16_000


class Handle(Protocol):
    """A replica, from here."""

    @property
    def node(self) -> str:
        """The machine that it is on, for people."""
        ...

    @property
    def device(self) -> str:
        """What it has there to itself, for people."""
        ...

    @property
    def most(self) -> int | None:
        """Requests that it takes at once now; None where that does not change."""
        ...

    def submit(self, work: Work) -> Future[None]:
        """Send requests; the future is set when they have arrived."""
        ...

    def poll(self) -> Future[Chunks | Fatal]:
        """Ask for news; the future is set within a second or two, and fails with what became of a
        replica that is gone.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Polled:
    """A replica answered a poll."""

    replica: int
    future: Future[Chunks | Fatal]


@dataclass(frozen=True, slots=True)
class _Sent:
    """A replica has got requests that it was sent at this time."""

    replica: int
    sent_s: float
    future: Future[None]


@dataclass(frozen=True, slots=True)
class _Forget:
    """See `Timing.forget_times`."""


_Event: TypeAlias = "Sequence[Request] | _Polled | _Sent | _Forget | None"


@dataclass(slots=True)
class _Known:
    """What is known of one replica."""

    load: ReplicaLoad
    asked_s: float = 0.0
    idle: bool = True
    stats: ExecutorStats = field(default_factory=lambda: ExecutorStats(active=0, queued=0))
    dispatches_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))


@dataclass(slots=True)
class _Open:
    """A request that is not answered: the tokens of its answer that were passed on, and those that
    come once more because another replica began anew.
    """

    request: Request
    told: int = 0
    again: int = 0


class Head:
    """Replicas that are loaded, behind one queue; `guessed` where what they compute at once is not
    known (see `Dispatcher`).
    """

    def __init__(
        self,
        handles: Sequence[Handle],
        loaded: Sequence[Loaded],
        *,
        tolerate_failures: bool,
        clock: Callable[[], float] | None = None,
        silence_s: float = SILENCE_S,
        noun: str = "replica",
        guessed: bool = False,
    ) -> None:
        self._handles = handles
        self._noun = noun
        self._tolerate = tolerate_failures
        self._clock = clock or AwakeClock()
        self._silence_s = silence_s
        self._events: queue.SimpleQueue[_Event] = queue.SimpleQueue()
        rooms = [room_for(each.max_in_flight or _USUAL_IN_FLIGHT) for each in loaded]
        self._dispatcher = Dispatcher(rooms, guessed=guessed)
        self._known = [
            _Known(ReplicaLoad(number, handle.node, handle.device, 0, 0, 0, 0.0, None))
            for number, handle in enumerate(handles, start=1)
        ]
        self._open: dict[int, _Open] = {}
        self._rows: list[ChunkRow] = []
        self._ids: list[TokenIds] = []
        self._loads_s = -1.0
        self._loads: tuple[ReplicaLoad, ...] = ()
        self._looked_s = self._timed_since_s = self._clock()
        self._meter = Meter(self._clock)
        self._head_load = self._meter.load
        self._stopped = False
        self.prefix_caching = any(each.prefix_caching for each in loaded)
        for replica in range(len(handles)):
            self._poll(replica)

    def submit(self, requests: Sequence[Request]) -> None:
        """Queue requests. Any thread may."""
        self._events.put(requests)

    def forget_times(self) -> None:
        """See `Timing.forget_times`. Any thread may."""
        self._events.put(_Forget())

    def stop(self) -> None:
        """Have `step` end. Any thread may."""
        self._events.put(None)

    def step(self) -> Chunks | None:
        """Wait for news for a moment, and pass them on; None once it was stopped.

        Raises EngineDied when a replica is lost and that is not tolerated, or no other is left.
        """
        self._meter.begin("waiting", open_requests=len(self._open))  # after the last news
        self._take()
        self._require_signs()
        if self._stopped:
            return None
        self._meter.begin("handing", open_requests=len(self._open))
        self._assign()
        self._meter.begin("passing", open_requests=len(self._open))
        news = self._news()
        self._meter.begin("telling", open_requests=len(self._open))
        return news

    def _take(self) -> None:
        """Deal with all events that are there, waiting a moment for the first."""
        try:
            event = self._events.get(timeout=_TICK_S)
            self._meter.begin("passing", open_requests=len(self._open))
            self._add_busy_time()
            while True:
                self._meter.heard()
                match event:
                    case None:
                        self._stopped = True
                    case _Polled(replica, future):
                        self._polled(replica, future)
                    case _Sent(replica, sent_s, future):
                        self._sent(replica, sent_s, future)
                    case _Forget():
                        self._timed_since_s, self._loads_s = self._clock(), -1.0
                        self._dispatcher.forget()
                        for known in self._known:
                            known.dispatches_s.clear()
                    case _:
                        self._add(event)
                event = self._events.get_nowait()
        except queue.Empty:
            self._add_busy_time()

    def _add(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self._open[request.id] = _Open(request)
            prompt, most = len(request.prompt_ids), request.max_new_tokens
            self._dispatcher.add(request.id, prompt, most, urgent=request.streaming)

    def _poll(self, replica: int) -> None:
        self._known[replica].asked_s = self._clock()
        future = self._handles[replica].poll()
        future.add_done_callback(lambda done: self._events.put(_Polled(replica, done)))

    def _polled(self, replica: int, future: Future[Chunks | Fatal]) -> None:
        known = self._known[replica]
        if known.load.lost is not None:
            return
        error = future.exception()
        if error is not None:
            self._lose(replica, _in_words(error))
            return
        reply = future.result()
        if isinstance(reply, Fatal):
            self._lose(replica, reply.cause)
            return
        known.stats = reply.stats
        self._pass_on(replica, reply)
        self._poll(replica)

    def _pass_on(self, replica: int, reply: Chunks) -> None:
        """Keep what a replica made for the next `_news`."""
        known, now_s = self._known[replica], self._clock()
        requests = prompts = start = 0
        for number, num_ids, finished, error in reply.rows:
            ids = reply.ids[start : start + num_ids]
            start += num_ids
            opened = self._open[number]
            self._dispatcher.made(number, num_ids, finished=finished, now_s=now_s)
            if opened.again and num_ids:
                skipped = min(opened.again, num_ids)
                opened.again -= skipped
                ids = ids[skipped:]
            if finished:
                requests += 1
                prompts += len(opened.request.prompt_ids)
                del self._open[number]
            if len(ids) or finished:
                opened.told += len(ids)
                self._rows.append((number, len(ids), finished, error))
                self._ids.append(ids)
        load = known.load
        known.load = replace(
            load,
            requests=load.requests + requests,
            prompt_tokens=load.prompt_tokens + prompts,
            tokens=load.tokens + start,
        )

    def _assign(self) -> None:
        for replica in self._dispatcher.alive:
            if (most := self._handles[replica].most) is not None:
                self._dispatcher.limit(replica, room_for(most))
        for replica, numbers in self._dispatcher.assign(self._clock()).items():
            for part in _parts([self._open[number].request for number in numbers]):
                self._send(replica, Work.of(part))

    def _send(self, replica: int, work: Work) -> None:
        sent_s = self._clock()
        future = self._handles[replica].submit(work)
        future.add_done_callback(lambda done: self._events.put(_Sent(replica, sent_s, done)))

    def _sent(self, replica: int, sent_s: float, future: Future[None]) -> None:
        error = future.exception()
        if error is None:
            if sent_s >= self._timed_since_s:
                self._known[replica].dispatches_s.append(self._clock() - sent_s)
        else:
            self._lose(replica, f"requests did not arrive: {_in_words(error)}")

    def _require_signs(self) -> None:
        now_s = self._clock()
        for replica in self._dispatcher.alive:
            if now_s - self._known[replica].asked_s > self._silence_s:
                self._lose(
                    replica,
                    f"it has not answered for {self._silence_s:.0f} s; its machine, or the link to "
                    "it, is down or very slow",
                )

    def _lose(self, replica: int, cause: str) -> None:
        """A replica is gone: the end, or its requests go to the others. Once only."""
        known = self._known[replica]
        if known.load.lost is not None:
            return
        load = known.load = replace(known.load, lost=cause)
        # what came of it, without what others begin anew
        known.stats = ExecutorStats(0, 0, prompt_tokens=load.prompt_tokens, tokens=load.tokens)
        self._loads_s = -1.0
        had = self._dispatcher.lose(replica)
        for number in had:
            opened = self._open[number]
            opened.again = opened.told
        if not self._tolerate or not self._dispatcher.alive:
            which = f"{self._noun} {replica + 1} of {len(self._handles)}, on {known.load.node}"
            raise EngineDied(f"{which}, was lost with {counted(len(had), 'open request')}: {cause}")

    def _add_busy_time(self) -> None:
        """Whoever had a request since the last look was busy."""
        now_s = self._clock()
        for replica, known in enumerate(self._known):
            if not known.idle:
                busy_s = known.load.busy_s + now_s - self._looked_s
                known.load = replace(known.load, busy_s=busy_s)
            known.idle = not self._dispatcher.open_on(replica)
        self._looked_s = now_s

    def _news(self) -> Chunks:
        """What was kept, and the figures of all replicas together."""
        import numpy as np

        rows, ids = self._rows, self._ids
        self._rows, self._ids = [], []
        joined = np.concatenate(ids) if ids else np.empty(0, np.int32)
        return Chunks(rows, joined, self._stats())

    def _stats(self) -> ExecutorStats:
        now_s = self._clock()
        if now_s - self._loads_s >= _TICK_S or not self._open:
            self._loads_s = now_s
            self._loads = tuple(
                replace(known.load, dispatch_p99_s=_p99(known.dispatches_s))
                for known in self._known
            )
            self._head_load = self._meter.load
        each = [known.stats for known in self._known]
        alive = [known.stats for known in self._known if known.load.lost is None]
        return ExecutorStats(
            active=sum(stats.active for stats in each),
            queued=sum(stats.queued for stats in each) + self._dispatcher.num_waiting,
            kv_blocks_used=_total([stats.kv_blocks_used for stats in alive]),
            kv_blocks_total=_total([stats.kv_blocks_total for stats in alive]),
            iteration_s=max((stats.iteration_s or 0.0 for stats in each), default=0.0) or None,
            prompt_tokens=_total([stats.prompt_tokens for stats in each]),
            tokens=_total([stats.tokens for stats in each]),
            replicas=self._loads,
            head=self._head_load,
        )


def _parts(requests: Sequence[Request]) -> list[list[Request]]:
    """The requests in as many calls as their prompts take."""
    parts: list[list[Request]] = [[]]
    num_ids = 0
    for request in requests:
        num_ids += len(request.prompt_ids)
        if parts[-1] and num_ids > _MOST_PROMPT_IDS:
            parts.append([])
            num_ids = len(request.prompt_ids)
        parts[-1].append(request)
    return parts


def _in_words(error: BaseException) -> str:
    """The first line of what a library says, which may go on for pages."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _total(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _p99(seconds: Sequence[float]) -> float | None:
    import numpy as np

    return float(np.percentile(np.array(seconds), 99)) if seconds else None
