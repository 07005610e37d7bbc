"""The warm-up: an engine meets the shapes of its test before anything counts, and shows roughly how
fast it is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from harness.loadgen.sut import AnswerLimits
from runtime.awake import AwakeClock
from runtime.executor import Executor, Request

if TYPE_CHECKING:
    from runtime.executor import TokenIds

_TIMEOUT_S = 900.0  # of each of its parts
_SINGLES = 3
_SINGLES_S = 3.0  # spent on them; one at least
_BATCH_S = 300.0  # a batch that would take longer one by one is made smaller
_LEAST = 8


@dataclass(frozen=True, slots=True)
class Warmth:
    """What a warm-up showed."""

    latency_s: float
    """The shortest alone."""
    samples_per_s: float
    """In the second batch."""
    answer_tokens: float
    """Of an answer in it, on average."""


def warm_up(
    executor: Executor, prompts: Sequence[TokenIds], limits: AnswerLimits, num_samples: int
) -> Warmth:
    """Run one request, then `num_samples` together (fewer with a slow engine), twice, of lengths
    spread over the dataset's, then some alone.

    The second batch counts: while shapes are new to an engine it is up to a quarter slower, and
    plans would ask for too little.
    Raises RunFailed when the engine fails a request or does not come to an end.
    """
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    alone = [prompts[by_length[len(by_length) // 2]]]
    first_s, _ = _time(executor, alone, limits)
    num_samples = min(num_samples, max(_LEAST, int(_BATCH_S / first_s)))
    step = len(by_length) / num_samples
    spread = [prompts[by_length[int(i * step)]] for i in range(num_samples)]
    _time(executor, spread, limits)
    batch_s, num_tokens = _time(executor, spread, limits)
    single_s: list[float] = []
    while not single_s or (len(single_s) < _SINGLES and sum(single_s) < _SINGLES_S):
        single_s.append(_time(executor, alone, limits)[0])
    return Warmth(min(single_s), num_samples / batch_s, num_tokens / num_samples)


def _time(
    executor: Executor, prompts: Sequence[TokenIds], limits: AnswerLimits
) -> tuple[float, int]:
    """Seconds from submitting the prompts together to the last token, and the tokens."""
    requests = [
        Request(
            i,
            ids,
            limits.max_new_tokens,
            limits.min_new_tokens,
            limits.stop_ids,
            streaming=limits.streaming,
        )
        for i, ids in enumerate(prompts)
    ]
    clock, started_s = AwakeClock(), time.perf_counter()
    executor.submit(requests)
    num_open, num_tokens = len(requests), 0
    while num_open:
        for chunk in executor.poll(0.1):
            if chunk.error:
                raise RunFailed(f"the engine failed in the warm-up: {chunk.error}")
            num_open -= chunk.finished
            num_tokens += len(chunk.token_ids)
        if clock() > _TIMEOUT_S:
            why = (
                "this machine is too slow for the engine; take a smaller checkpoint, or a recipe "
                "with fewer bits"
                if num_tokens
                else "the engine gave no token at all"
            )
            raise RunFailed(f"the warm-up did not end within {_TIMEOUT_S:.0f} s: {why}")
    return time.perf_counter() - started_s, num_tokens
