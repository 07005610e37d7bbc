"""An executor without LoadGen: requests in, tokens out, and how long that took."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from runtime.executor import Executor, Request

if TYPE_CHECKING:
    from runtime.executor import TokenIds


@dataclass(frozen=True, slots=True)
class Drive:
    """One timed drive: from the first submission to the last token."""

    duration_s: float
    answers: dict[int, list[int]] = field(repr=False)
    """Token ids by the request's id."""

    @property
    def num_tokens(self) -> int:
        """Tokens of all answers."""
        return sum(map(len, self.answers.values()))

    @property
    def tokens_per_s(self) -> float:
        """Output tokens a second."""
        return self.num_tokens / self.duration_s


def drive(executor: Executor, requests: Sequence[Request], concurrency: int | None = None) -> Drive:
    """Answer all requests with at most `concurrency` open at a time (all at once when None).

    Raises RunFailed when a request fails, EngineDied when the engine does.
    """
    parts: dict[int, list[TokenIds]] = {request.id: [] for request in requests}
    first = len(requests) if concurrency is None else min(concurrency, len(requests))
    waiting = iter(requests[first:])
    num_open = first
    started_s = time.perf_counter()
    executor.submit(requests[:first])
    while num_open:
        for chunk in executor.poll(0.05):
            if chunk.error:
                raise RunFailed(f"the engine failed on request {chunk.id}: {chunk.error}")
            parts[chunk.id].append(chunk.token_ids)
            if chunk.finished:
                following = next(waiting, None)
                if following is None:
                    num_open -= 1
                else:
                    executor.submit([following])
    duration_s = time.perf_counter() - started_s
    answers = {key: [int(i) for ids in value for i in ids] for key, value in parts.items()}
    return Drive(duration_s, answers)
