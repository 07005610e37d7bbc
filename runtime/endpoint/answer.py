"""One answer, as it is read from its server.

What it comes to does not depend on how the network cuts the bytes: events are taken one at a time
and in order, and nothing after the one that ends the answer counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.endpoint.events import DONE, Events, Malformed
from runtime.endpoint.faults import Refused
from runtime.endpoint.wire import News, read_news

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from runtime.endpoint.tokens import Counter
    from runtime.executor import Request

_ENDS = ("stop", "length")  # reasons for the end of a whole answer
_MOST_BYTES = 2**24  # of one that is told whole
_AFTER_S = 1.0  # for what follows the end of one


@dataclass(slots=True)
class Answer:
    """An answer that is being made."""

    request: Request
    counter: Counter
    num_ids: int = 0
    last_id: int | None = None
    finished: bool = False

    def take(self, news: News) -> list[int]:
        """The ids in it; the one that ended the answer is there, whether the server told it or
        not. Raises Refused, and ValueError where there are no ids to be had.
        """
        if self.finished:
            return []  # a usage event, or an error that comes too late to be one
        if news.error is not None:
            raise Refused(news.error)
        ids = self.counter.take(news)
        if news.reason is not None:
            if news.reason not in _ENDS:
                raise Refused(f"it broke its answer off (finish_reason {news.reason})")
            self.finished = True
            ids = [*ids, *self._stop(ids, news.reason)]
        if ids:
            self.num_ids += len(ids)
            self.last_id = ids[-1]
        return ids

    def _stop(self, ids: Sequence[int], reason: str) -> Sequence[int]:
        request = self.request
        last = ids[-1] if ids else self.last_id
        room = self.num_ids + len(ids) < request.max_new_tokens
        if reason != "stop" or last in request.stop_ids or not room:
            return ()
        return request.stop_ids[:1]


async def read_answer(
    response: ClientResponse,
    answer: Answer,
    sign: Callable[[], None],
    tell: Callable[[list[int]], None],
) -> None:
    """Read it to its end: `sign` is called whenever bytes came, and `tell` with new ids, the last
    time with `answer.finished`, and never again. Raises Refused, and ValueError for what is no
    answer; ids that came before that are told.
    """
    read = _read_stream if answer.request.streaming else _read_whole
    await read(response, answer, sign, tell)
    if not answer.finished:
        raise Refused("its answer ended without an end (no finish_reason)")


async def _read_stream(
    response: ClientResponse,
    answer: Answer,
    sign: Callable[[], None],
    tell: Callable[[list[int]], None],
) -> None:
    events = Events()
    async for data in response.content.iter_any():
        sign()
        ids: list[int] = []
        try:
            for event in events.feed(data):
                if event != DONE:
                    ids += answer.take(read_news(event))
                    if answer.finished:
                        break
        finally:
            if ids or answer.finished:
                tell(ids)
        if answer.finished:
            await _pass_over_rest(response)
            return
    if events.rest:
        raise Malformed(f"its stream ended within an event: {events.rest!r}")


async def _pass_over_rest(response: ClientResponse) -> None:
    """Read what follows the end, so that the connection can be used again; only for a moment, as
    some servers leave it open.
    """
    import aiohttp

    timer = asyncio.get_running_loop().call_later(_AFTER_S, response.close)
    try:
        with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):
            async for _ in response.content.iter_any():
                pass
    finally:
        timer.cancel()


async def _read_whole(
    response: ClientResponse,
    answer: Answer,
    sign: Callable[[], None],
    tell: Callable[[list[int]], None],
) -> None:
    content = bytearray()
    async for data in response.content.iter_any():
        sign()
        content += data
        if len(content) > _MOST_BYTES:
            raise Malformed(f"an answer has more than {_MOST_BYTES:,} bytes")
    ids = answer.take(read_news(bytes(content)))
    if ids or answer.finished:
        tell(ids)
