"""Where the head of the replicas saturates: one process hands out all requests, and passes on all
tokens.

The head runs for real, over replicas that take and answer at once and cost nothing; what Ray needs
to carry the same is not in these figures. They are of one core: tokens per second of its CPU time.
"""

from __future__ import annotations

import pickle
import time
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.result import Figure, Result
from runtime.executor import ExecutorStats, Request
from runtime.messages import Chunks
from runtime.replicas.head import Head
from runtime.replicas.messages import Loaded

if TYPE_CHECKING:
    from harness.progress import Progress
    from runtime.messages import ChunkRow, Fatal, Work

REPLICAS = (1, 8, 64)
_BATCH = 128
_PROMPT_TOKENS = 870  # of the benchmark's articles, in the mean
_ANSWER_TOKENS = 128
_TOLD_AT_ONCE = 8  # answers that end in one iteration of a replica


class _Instant:
    """A replica that has answered what it was given as soon as it is asked to."""

    node = device = "none"
    most = None

    def __init__(self) -> None:
        self.given: list[int] = []
        self._asked: Future[Chunks | Fatal] = Future()

    def submit(self, work: Work) -> Future[None]:
        """The requests, as bytes, as they would leave."""
        pickle.dumps(work, protocol=pickle.HIGHEST_PROTOCOL)
        self.given += [row[0] for row in work.rows]
        arrived: Future[None] = Future()
        arrived.set_result(None)
        return arrived

    def poll(self) -> Future[Chunks | Fatal]:
        """See `Handle.poll`."""
        self._asked = Future()
        return self._asked

    def answer(self, rows: list[ChunkRow]) -> None:
        """Tell what these rows say."""
        ids = np.zeros(sum(row[1] for row in rows), np.int32)
        stats = ExecutorStats(active=len(self.given), queued=0, prompt_tokens=0, tokens=0)
        self._asked.set_result(Chunks(rows, ids, stats))


def measure(samples: int, repeats: int, progress: Progress) -> Result:
    """`repeats` times `samples` answers for each number of replicas, whole and token by token."""
    figures: list[Figure] = []
    for count in REPLICAS:
        progress.phase(f"the head of {count} replicas")
        whole = tuple(_whole(count, samples) for _ in range(repeats))
        handed, streamed = zip(*(_streamed(count) for _ in range(repeats)), strict=True)
        figures += [
            Figure(f"{count} replicas, requests handed out", "1/s", handed),
            Figure(f"{count} replicas, answers told whole", "tokens/s", whole),
            Figure(f"{count} replicas, token by token", "tokens/s", streamed),
        ]
    return Result(
        title="The head of the replicas, on one core",
        figures=tuple(figures),
        notes=(
            f"prompts of {_PROMPT_TOKENS} ids and answers of {_ANSWER_TOKENS}, up to {_BATCH} at "
            f"once on a replica; whole answers come {_TOLD_AT_ONCE} at once",
        ),
    )


def _head(replicas: list[_Instant], num_requests: int) -> Head:
    """With so many requests in front of it, and all places taken."""
    head = Head(replicas, [Loaded(False, _BATCH)] * len(replicas), tolerate_failures=False)
    prompt = np.arange(_PROMPT_TOKENS, dtype=np.int32)
    head.submit([Request(i, prompt, _ANSWER_TOKENS) for i in range(num_requests)])
    head.step()
    return head


def _whole(count: int, samples: int) -> float:
    """Tokens a second, of answers that are told at their end; further requests wait all along."""
    replicas = [_Instant() for _ in range(count)]
    left = samples = max(samples, 2 * _BATCH * count)
    head = _head(replicas, samples)
    started_s = time.process_time()
    while left:
        for each in replicas:
            done, each.given = each.given[:_TOLD_AT_ONCE], each.given[_TOLD_AT_ONCE:]
            if done:
                each.answer([(number, _ANSWER_TOKENS, True, None) for number in done])
                left -= len(done)
        head.step()
    return samples * _ANSWER_TOKENS / (time.process_time() - started_s)


def _streamed(count: int) -> tuple[float, float]:
    """Requests a second that are handed out, and then tokens a second, one of each running request
    in each iteration.
    """
    replicas = [_Instant() for _ in range(count)]
    started_s = time.process_time()
    head = _head(replicas, _BATCH * count)
    handed_s = time.process_time()
    for number in range(1, _ANSWER_TOKENS + 1):
        for each in replicas:
            each.answer([(i, 1, number == _ANSWER_TOKENS, None) for i in each.given])
        head.step()
    requests = sum(len(each.given) for each in replicas)
    tokens = _ANSWER_TOKENS * requests
    return requests / (handed_s - started_s), tokens / (time.process_time() - handed_s)
