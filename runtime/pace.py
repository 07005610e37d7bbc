"""How long the steps of an engine take that is loaded, seen from where its answers arrive."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from build_engine.errors import EngineDied
from runtime.executor import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from runtime.executor import Chunk, Executor

_POLL_S = 1.0
_STOP = (1,)  # asked for, and ignored


def decode_step_s(executor: Executor, requests: int, prompt: int, tokens: int) -> float:
    """Seconds of a step in which each of `requests` gets a token, once all of them have begun and
    before the first has ended; prompts have `prompt` tokens, answers `tokens`.

    Raises EngineDied.
    """
    made: Counter[int] = Counter()
    begun: tuple[float, int] | None = None
    last = (0.0, 0)
    for now_s, chunks in _answers(executor, requests, prompt, tokens):
        for chunk in chunks:
            made[chunk.id] += len(chunk.token_ids)
        if len(made) == requests and min(made.values()) and max(made.values()) < tokens:
            last = (now_s, made.total())
            begun = begun or last
    if begun is None or last[1] <= begun[1]:
        raise EngineDied("the engine gave no answers one token after the other")
    return (last[0] - begun[0]) * requests / (last[1] - begun[1])


def prompts_s(executor: Executor, requests: int, prompt: int) -> float:
    """Seconds until each of `requests` has the one token that it asks for. Raises EngineDied."""
    started_s = time.perf_counter()
    *_, (ended_s, _) = _answers(executor, requests, prompt, 1)
    return ended_s - started_s


def _answers(
    executor: Executor, requests: int, prompt: int, tokens: int
) -> Iterator[tuple[float, list[Chunk]]]:
    """What arrives, and when, until all have ended. Ids are those of any vocabulary."""
    import numpy as np

    ids = np.random.default_rng(prompt).integers(3, 99, (requests, prompt)).astype(np.int32)
    executor.submit(
        [Request(i, ids[i], tokens, tokens, _STOP, ignore_eos=True) for i in range(requests)]
    )
    left = requests
    while left:
        chunks = executor.poll(_POLL_S)
        failed = next((chunk.error for chunk in chunks if chunk.error), None)
        if failed:
            raise EngineDied(failed)
        left -= sum(chunk.finished for chunk in chunks)
        if chunks:  # an engine also reports figures alone
            yield time.perf_counter(), chunks
