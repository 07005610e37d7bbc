"""One request from its ids to its last token: whole, or event by event."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.server.refusal import FAILED, HUNG_UP, Refused
from runtime.server.shape import DONE, error_event
from runtime.server.text import AnswerText

if TYPE_CHECKING:
    from runtime.executor import Request
    from runtime.server.body import Asked
    from runtime.server.dispatch import Ticket
    from runtime.server.metrics import Metrics
    from runtime.server.prompts import Prompts
    from runtime.server.shape import FinishReason, Shape


@dataclass(frozen=True, slots=True)
class _News:
    """What came at one moment; `reason` is None while there is more to come."""

    text: str
    ids: list[int]
    reason: FinishReason | None


@dataclass(slots=True)
class Answering:
    """An answer that is being made. `status` is what became of it: given up until it is whole."""

    ticket: Ticket
    request: Request
    asked: Asked
    shape: Shape
    prompts: Prompts
    metrics: Metrics
    status: int = HUNG_UP

    async def whole(self) -> bytes:
        """The answer in one piece. Raises Refused and Gone."""
        text, ids, reason = "", list[int](), None
        async with contextlib.aclosing(self._news()) as pieces:
            async for news in pieces:
                text, reason = text + news.text, news.reason
                ids += news.ids
        assert reason is not None, "the last piece has one"
        return self.shape.whole(text, ids, reason)

    async def events(self) -> AsyncIterator[bytes]:
        """The answer as the events of a stream, an error among them where it cannot go on."""
        made, asked = 0, self.asked
        try:
            async with contextlib.aclosing(self._news()) as pieces:
                async for news in pieces:
                    first, made = made == 0, made + len(news.ids)
                    yield self.shape.event(news.text, news.ids, news.reason, made, first=first)
        except Refused as fault:
            self.status = fault.status
            yield error_event(fault.body)
            return
        except Exception:
            self.status = FAILED.status
            raise
        if asked.stream_options.include_usage:
            yield self.shape.usage_event(made)
        self.status = 200
        yield DONE

    async def _news(self) -> AsyncGenerator[_News, None]:
        """What comes, as it comes. Raises Refused and Gone."""
        text = AnswerText(self.prompts.tokenizer, self.asked.stops)
        made, first_s, held, finished, ended = 0, None, list[int](), False, False
        while not (finished or text.stopped):
            chunks = await self.ticket.news()
            ids = [each for chunk in chunks for each in chunk.token_ids.tolist()]
            finished = chunks[-1].finished
            now_s = time.perf_counter() - self.ticket.arrived_s
            if ids:
                first_s = first_s if made else now_s
                ended = ids[-1] in self.request.stop_ids
            made += len(ids)
            held += ids
            if not finished and not (self.request.streaming and held):
                continue  # nobody waits for less than all of it
            told = (each for each in held if each not in self.request.stop_ids)
            new = text.add(told, last=finished)
            reason: FinishReason = "stop" if ended or text.stopped else "length"
            yield _News(new, held, reason if finished or text.stopped else None)
            held = []
        # an engine may keep an answer that nobody watches until it is whole
        ttft_s = first_s if self.request.streaming else None
        self.metrics.made(len(self.request.prompt_ids), made, ttft_s, now_s)
