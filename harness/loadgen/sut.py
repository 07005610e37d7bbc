"""The system under test: LoadGen's queries become an executor's requests, its chunks LoadGen's
completions.

Issuing only enqueues. One response thread reports everything: the first token of an answer always
before its completion, and each answer's ids once, as int32. Nothing here raises into LoadGen, which
would take the process down: what goes wrong is kept in `failure` for the control loop.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from build_engine.errors import EnginebenchError, RunFailed
from harness.figures import ProgressFigures
from harness.loadgen.given import MOMENT_S
from runtime.executor import Chunk, Executor, Request

if TYPE_CHECKING:
    from runtime.executor import TokenIds

_POLL_S = 0.05
_RECENT = 512  # answers that the live percentiles look at; more of them would show up in the p99


@dataclass(slots=True)
class _Answer:
    """An open query: when it was issued, and the ids that came so far; the tokens of its latest
    moment, and of its fullest one.
    """

    index: int
    issued_s: float
    first_s: float = 0.0
    second_s: float = math.nan
    moment_s: float = 0.0
    num_now: int = 0
    burst: int = 0
    parts: list[TokenIds] = field(default_factory=list)

    def add(self, ids: TokenIds, now_s: float) -> None:
        """Take ids that came now."""
        if now_s - self.moment_s > MOMENT_S:
            if not self.parts:
                self.first_s = now_s
            elif self.moment_s == self.first_s:
                self.second_s = now_s
            self.moment_s, self.num_now = now_s, 0
        self.parts.append(ids)
        self.num_now += len(ids)
        if self.num_now > self.burst:
            self.burst = self.num_now


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """What every request asks for."""

    max_new_tokens: int
    min_new_tokens: int
    stop_ids: tuple[int, ...]
    streaming: bool = True


class SystemUnderTest:
    """One executor behind LoadGen's two callbacks.

    `prompts[i]` are the ids of sample i, int32 of shape [prompt length].
    """

    def __init__(
        self, executor: Executor, prompts: Sequence[TokenIds], limits: AnswerLimits, *, keep: bool
    ) -> None:
        import mlperf_loadgen

        self._lg = mlperf_loadgen
        self._executor = executor
        self._prompts = prompts
        self._limits = limits
        self._open: dict[int, _Answer] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._respond, name="responses", daemon=True)
        self._keep = keep
        self.failure: str | None = None
        """Why the test cannot go on; set once."""
        self.records: list[tuple[int, float, float, int]] = []
        """Of each completed answer: sample index, TTFT (s), latency (s), number of tokens."""
        self.answers: dict[int, TokenIds] = {}
        """In accuracy mode, the ids of each completed sample."""
        self.given: list[TokenIds] = []
        """The ids of each completed answer, beside `records`."""
        self.paces: list[tuple[float, int]] = []
        """Of each completed answer, beside `records`: the time from its first token to the next
        (s; NaN for none), and the most tokens that came at one moment.
        """
        self.num_tokens = 0
        self.num_issued = 0
        self._num_prompt_tokens = 0  # of prompts that have a first token
        self._num_prompt_tokens_issued = 0
        self._before = executor.stats()
        self._started_s = time.perf_counter()
        self.last_sign_s = self._started_s
        """When the executor last produced something, told or only counted, or was last given
        something to do after idling.
        """
        self._counted = (self._before.prompt_tokens, self._before.tokens)

    def start(self) -> None:
        """Start reporting."""
        self._started_s = time.perf_counter()
        self._thread.start()

    def finish(self) -> None:
        """Stop reporting; the caller closes the executor."""
        self._stop.set()
        self._thread.join()

    def issue(self, samples: Sequence[Any]) -> None:
        """LoadGen's issue callback: a list of QuerySample(id, index)."""
        now_s = time.perf_counter()
        if not self._open:
            self.last_sign_s = now_s
        limits = self._limits
        prompts = self._prompts
        requests = []
        num_prompt_tokens = 0
        try:
            for sample in samples:
                query_id, index = sample.id, sample.index
                self._open[query_id] = _Answer(index, now_s)
                num_prompt_tokens += len(prompts[index])
                requests.append(
                    Request(
                        query_id,
                        prompts[index],
                        limits.max_new_tokens,
                        limits.min_new_tokens,
                        limits.stop_ids,
                        streaming=limits.streaming,
                    )
                )
            self.num_issued += len(requests)
            self._num_prompt_tokens_issued += num_prompt_tokens
            self._executor.submit(requests)
        except Exception as error:  # raised into LoadGen, any exception would abort the process
            self._fail(error)

    def flush(self) -> None:
        """LoadGen's flush callback: nothing is held back here."""

    @property
    def num_open(self) -> int:
        """Queries issued and not yet answered."""
        return len(self._open)

    def snapshot(self) -> ProgressFigures:
        """The figures since `start`."""
        # of answers that are told when they are whole, no token has a time of its own
        recent = self.records[-_RECENT:] if self._limits.streaming else []
        ttft_p50_s, ttft_p99_s = _percentiles([record[1] for record in recent])
        tpot_p50_s, tpot_p99_s = _percentiles(
            [(r[2] - r[1]) / (r[3] - 1) for r in recent if r[3] > 1]
        )
        stats = self._executor.stats()
        issued = self._num_prompt_tokens_issued
        told = _since(self._before.prompt_tokens, stats.prompt_tokens)
        return ProgressFigures(
            elapsed_s=time.perf_counter() - self._started_s,
            issued=self.num_issued,
            done=len(self.records),
            tokens=max(self.num_tokens, _since(self._before.tokens, stats.tokens)),
            # an engine that was short of cache counts a prompt that it reads again
            prompt_tokens=min(max(self._num_prompt_tokens, told), issued),
            prompt_tokens_issued=issued,
            active=stats.active,
            queued=stats.queued,
            kv_blocks_used=stats.kv_blocks_used,
            kv_blocks_total=stats.kv_blocks_total,
            iteration_s=stats.iteration_s,
            ttft_p50_s=ttft_p50_s,
            ttft_p99_s=ttft_p99_s,
            tpot_p50_s=tpot_p50_s,
            tpot_p99_s=tpot_p99_s,
        )

    def _respond(self) -> None:
        try:
            while not self._stop.is_set():
                chunks = self._executor.poll(_POLL_S)
                stats = self._executor.stats()
                counted = (stats.prompt_tokens, stats.tokens)
                if counted != self._counted:  # of answers that are told when they are whole
                    self._counted, self.last_sign_s = counted, time.perf_counter()
                if chunks:
                    self._report(chunks)
        except Exception as error:  # a thread that died in silence would leave LoadGen waiting
            self._fail(error)

    def _report(self, chunks: list[Chunk]) -> None:
        now_s = self.last_sign_s = time.perf_counter()
        parts: list[TokenIds] = []  # what LoadGen is told now, end to end
        num_ids = 0
        first: list[tuple[int, int, int]] = []  # query id, and its ids' start and count in `parts`
        last: list[tuple[int, int, int]] = []
        for chunk in chunks:
            query_id, ids = chunk.id, chunk.token_ids
            answer = self._open.get(query_id)
            if answer is None:
                raise RunFailed(f"the engine answered request {query_id}, which is not open")
            if chunk.error is not None:
                raise RunFailed(f"the engine failed on sample {answer.index}: {chunk.error}")
            if len(ids):
                self.num_tokens += len(ids)
                if not answer.parts:
                    self._num_prompt_tokens += len(self._prompts[answer.index])
                    first.append((query_id, num_ids, len(ids)))
                    parts.append(ids)
                    num_ids += len(ids)
                answer.add(ids, now_s)
            if chunk.finished:
                count = self._complete(query_id, answer, now_s)
                last.append((query_id, num_ids, count))
                parts += answer.parts
                num_ids += count
        if not parts:
            return
        joined = np.concatenate(parts)  # LoadGen copies in the calls below: it must live until then
        if joined.dtype != np.int32:
            raise RunFailed(f"the engine gave token ids as {joined.dtype}, and not as int32")
        self.given += [joined[start : start + count] for _, start, count in last]
        address = joined.ctypes.data  # takes microseconds: once for all answers
        response = self._lg.QuerySampleResponse
        if first:
            self._lg.FirstTokenComplete(
                [response(i, address + 4 * start, 4 * count) for i, start, count in first]
            )
        if last:
            self._lg.QuerySamplesComplete(
                [response(i, address + 4 * start, 4 * count, count) for i, start, count in last]
            )

    def _complete(self, query_id: int, answer: _Answer, now_s: float) -> int:
        """Close a query and record it; the number of its ids."""
        num_ids = sum(map(len, answer.parts))
        if not num_ids:
            raise RunFailed(f"the engine answered sample {answer.index} with no token at all")
        del self._open[query_id]
        ttft_s = answer.first_s - answer.issued_s
        self.records.append((answer.index, ttft_s, now_s - answer.issued_s, num_ids))
        self.paces.append((answer.second_s - answer.first_s, answer.burst))
        if self._keep:
            self.answers[answer.index] = np.concatenate(answer.parts)
        return num_ids

    def _fail(self, error: Exception) -> None:
        if self.failure is None:
            known = isinstance(error, EnginebenchError)
            self.failure = str(error) if known else f"{type(error).__name__}: {error}"


def _since(before: int | None, now: int | None) -> int:
    """How much a counter has grown; 0 for one that the engine does not keep."""
    return 0 if now is None else now - (before or 0)


def _percentiles(values_s: list[float]) -> tuple[float | None, float | None]:
    """The 50th and the 99th, None where there are no values."""
    if not values_s:
        return None, None
    p50, p99 = np.percentile(values_s, (50, 99)).tolist()
    return p50, p99
