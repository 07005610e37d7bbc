"""The answers of a simulated engine in real time: each iteration ends when its time has passed.

An iteration has the requests that came before it began, so the times are those of the model
however late somebody looks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from runtime.executor import Chunk, ExecutorStats, Request
from runtime.simulated.engine import Engine, Iteration

if TYPE_CHECKING:
    from runtime.executor import TokenIds
    from runtime.simulated.decoding import Answer
    from runtime.simulated.model import EngineModel


@dataclass(slots=True)
class _Open:
    """An answer, and how many of its tokens were handed over."""

    answer: Answer
    streaming: bool
    stream: dict[int, _Open] | None = None
    told: int = 0


class BatchedAnswers:
    """Chunks of `ids`, at most `num_tokens` a request, as an engine makes them."""

    def __init__(self, model: EngineModel, ids: TokenIds, stream_interval: int) -> None:
        self._model = model
        self._ids = ids
        self._engine = Engine(model)
        self._arrived: deque[tuple[float, Request]] = deque()
        self._open: dict[int, _Open] = {}
        # Streamed answers by the iterations, modulo the interval, in which they are told.
        self._streams: list[dict[int, _Open]] = [{} for _ in range(stream_interval)]
        self._refused: list[Chunk] = []
        self._making: list[Chunk] = []
        self._clock_s = 0.0  # the end of the iteration that goes on, if one does
        self._iterating = False
        self._number = 0
        self._iteration_s: float | None = None

    def add(self, request: Request, arrived_s: float) -> None:
        """Answer a request that came at this time; one that no engine like this could answer fails
        at once.
        """
        refusal = self._model.refusal(len(request.prompt_ids), self._length(request))
        if refusal:
            self._refused.append(Chunk(request.id, self._ids[:0], True, error=refusal))
        else:
            self._arrived.append((arrived_s, request))

    def due(self, now_s: float) -> list[Chunk]:
        """The chunks up to this time, in order, each once."""
        chunks, self._refused = self._refused, []
        while True:
            if self._iterating:
                if self._clock_s > now_s:
                    return chunks
                chunks += self._making
                self._iterating = False
            if not self._engine.busy:
                if not self._arrived:
                    return chunks
                self._clock_s = max(self._clock_s, self._arrived[0][0])
            self._iterate()

    @property
    def next_s(self) -> float | None:
        """When there is more; None where nothing was asked."""
        return self._clock_s if self._iterating else None

    def stats(self, num_open: int) -> ExecutorStats:
        """With so many requests that are not answered yet."""
        active = min(self._engine.num_active, num_open)
        return ExecutorStats(
            active=active,
            queued=num_open - active,
            kv_blocks_used=self._engine.blocks_used,
            kv_blocks_total=self._model.kv_blocks,
            iteration_s=self._iteration_s,
        )

    def _iterate(self) -> None:
        """Begin an iteration now, at the engine's clock."""
        while self._arrived and self._arrived[0][0] <= self._clock_s:
            request = self._arrived.popleft()[1]
            answer = self._engine.add(request.id, len(request.prompt_ids), self._length(request))
            self._open[request.id] = _Open(answer, request.streaming)
        done = self._engine.step()
        self._number += 1
        self._making = self._chunks(done)
        self._clock_s += done.seconds
        self._iteration_s = done.seconds
        self._iterating = True

    def _chunks(self, done: Iteration) -> list[Chunk]:
        """What an iteration makes."""
        stream = self._streams[self._number % len(self._streams)]
        finished = [self._open.pop(answer.id) for answer in done.finished]
        for opened in finished:
            if opened.stream is not None:
                del opened.stream[opened.answer.id]
        chunks = [self._told(opened, False) for opened in stream.values() if self._news(opened)]
        for answer in done.started:
            new = self._open.get(answer.id)
            if new is not None and new.streaming:
                new.stream = stream
                stream[answer.id] = new
                chunks.append(self._told(new, False))
        return chunks + [self._told(opened, True) for opened in finished]

    def _news(self, opened: _Open) -> bool:
        """Whether there are tokens that were not handed over; a paused answer has none."""
        return self._engine.made(opened.answer) > opened.told

    def _told(self, opened: _Open, finished: bool) -> Chunk:
        """The tokens since the last chunk."""
        made = self._engine.made(opened.answer)
        ids = self._ids[opened.told : made]
        opened.told = made
        return Chunk(opened.answer.id, ids, finished)

    def _length(self, request: Request) -> int:
        """Tokens of its answer."""
        return min(len(self._ids), request.max_new_tokens)
