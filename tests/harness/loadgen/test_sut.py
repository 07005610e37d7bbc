"""The system under test: what LoadGen is told, in which order, and what becomes of an executor's
mistakes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from build_engine.errors import EngineDied
from harness.loadgen.sut import AnswerLimits, SystemUnderTest
from runtime.executor import Chunk, ExecutorStats, Request

LIMITS = AnswerLimits(max_new_tokens=8, min_new_tokens=1, stop_ids=(2,))


@dataclass(frozen=True)
class Sample:
    id: int
    index: int


@dataclass
class Ledger:
    """Stands in for the mlperf_loadgen module, where a wrong id is a segfault; notes what it is
    told.
    """

    told: list[tuple[str, int, list[int], int]] = field(default_factory=list)

    def QuerySampleResponse(self, *fields: int) -> tuple[int, ...]:
        return fields

    def FirstTokenComplete(self, responses: Sequence[tuple[int, ...]]) -> None:
        self.told += [("first", r[0], read(r[1], r[2]), 0) for r in responses]

    def QuerySamplesComplete(self, responses: Sequence[tuple[int, ...]]) -> None:
        self.told += [("done", r[0], read(r[1], r[2]), r[3]) for r in responses]


def read(address: int, num_bytes: int) -> list[int]:
    """What LoadGen would copy: the buffer must be alive, and int32, at the time of the call."""
    import ctypes

    buffer = (ctypes.c_int32 * (num_bytes // 4)).from_address(address)
    return list(buffer)


class Scripted:
    """An executor that answers with the chunks it was given."""

    prefix_caching = False

    def __init__(self, *chunks: Chunk | Exception) -> None:
        self.requests: list[Request] = []
        self.now = ExecutorStats(active=1, queued=0)
        self._chunks = list(chunks)

    def submit(self, requests: Sequence[Request]) -> None:
        self.requests += requests

    def poll(self, timeout_s: float) -> list[Chunk]:
        if not self.requests or not self._chunks:
            time.sleep(0.001)
            return []
        chunk = self._chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return [chunk]

    def stats(self) -> ExecutorStats:
        return self.now

    def close(self) -> None:
        pass


def ids(*values: int) -> Any:
    return np.array(values, np.int32)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def start(
    executor: Scripted,
    ledger: Ledger,
    monkeypatch: pytest.MonkeyPatch,
    *,
    keep: bool = False,
    limits: AnswerLimits = LIMITS,
) -> SystemUnderTest:
    import mlperf_loadgen

    for name in ("QuerySampleResponse", "FirstTokenComplete", "QuerySamplesComplete"):
        monkeypatch.setattr(mlperf_loadgen, name, getattr(ledger, name))
    prompts = [ids(1, 2, 3), ids(4, 5)]
    sut = SystemUnderTest(executor, prompts, limits, keep=keep)
    sut.start()
    return sut


def settle(sut: SystemUnderTest) -> None:
    deadline_s = time.monotonic() + 10.0
    while sut.num_open and sut.failure is None:
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
    sut.finish()


@pytest.fixture
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield monkeypatch


def test_a_streamed_answer_is_reported_once_whole_after_its_first_token(
    ledger: Ledger, patch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(
        Chunk(70, ids(11), False), Chunk(70, ids(12, 13), False), Chunk(70, ids(2), True)
    )
    sut = start(executor, ledger, patch, keep=True)
    sut.issue([Sample(70, 1)])
    settle(sut)
    assert ledger.told == [("first", 70, [11], 0), ("done", 70, [11, 12, 13, 2], 4)]
    assert executor.requests[0].prompt_ids.tolist() == [4, 5]
    assert executor.requests[0].max_new_tokens == 8
    assert sut.answers[1].tolist() == [11, 12, 13, 2]
    (index, ttft_s, latency_s, num_tokens), *_ = sut.records
    assert (index, num_tokens) == (1, 4)
    assert 0 < ttft_s <= latency_s


def test_a_first_chunk_that_is_also_the_last_is_reported_twice(
    ledger: Ledger, patch: pytest.MonkeyPatch
) -> None:
    sut = start(Scripted(Chunk(70, ids(11, 2), True)), ledger, patch)
    sut.issue([Sample(70, 0)])
    settle(sut)
    assert ledger.told == [("first", 70, [11, 2], 0), ("done", 70, [11, 2], 2)]


def test_an_empty_last_chunk_adds_nothing(ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    sut = start(Scripted(Chunk(70, ids(11, 12), False), Chunk(70, ids(), True)), ledger, patch)
    sut.issue([Sample(70, 0)])
    settle(sut)
    assert ledger.told[-1] == ("done", 70, [11, 12], 2)


@pytest.mark.parametrize(
    ("chunk", "failure"),
    [
        (Chunk(71, ids(11), True), "the engine answered request 71, which is not open"),
        (Chunk(70, ids(), True), "the engine answered sample 0 with no token at all"),
        (
            Chunk(70, ids(), True, error="no memory"),
            "the engine failed on sample 0: no memory",
        ),
        (EngineDied("the engine died: gone"), "the engine died: gone"),
        (ZeroDivisionError("oops"), "ZeroDivisionError: oops"),
    ],
)
def test_an_executors_mistake_is_kept_and_never_told_to_loadgen(
    ledger: Ledger, patch: pytest.MonkeyPatch, chunk: Chunk | Exception, failure: str
) -> None:
    sut = start(Scripted(chunk), ledger, patch)
    sut.issue([Sample(70, 0)])
    settle(sut)
    assert sut.failure == failure
    assert ledger.told == []


def test_a_second_completion_is_a_failure_and_not_a_second_report(
    ledger: Ledger, patch: pytest.MonkeyPatch
) -> None:
    executor = Scripted(Chunk(70, ids(11, 2), True), Chunk(70, ids(11, 2), True))
    sut = start(executor, ledger, patch)
    sut.issue([Sample(70, 0), Sample(71, 1)])
    settle(sut)
    assert sut.failure == "the engine answered request 70, which is not open"
    assert [entry[:2] for entry in ledger.told] == [("first", 70), ("done", 70)]


def test_what_submit_raises_stays_out_of_loadgen(ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    class Refusing(Scripted):
        def submit(self, requests: Sequence[Request]) -> None:
            raise EngineDied("the engine died: at once")

    sut = start(Refusing(), ledger, patch)
    sut.issue([Sample(70, 0)])
    sut.finish()
    assert sut.failure == "the engine died: at once"


def test_issuing_does_not_wait_for_an_answer(ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    sut = start(Scripted(), ledger, patch)
    sut.issue([Sample(70, 0), Sample(71, 1)])
    assert (sut.num_open, sut.num_issued) == (2, 2)
    assert sut.snapshot().done == 0
    assert sut.snapshot().ttft_p99_s is None
    sut.finish()


def test_a_snapshot_has_counts_and_percentiles(ledger: Ledger, patch: pytest.MonkeyPatch) -> None:
    sut = start(Scripted(Chunk(70, ids(11), False), Chunk(70, ids(12), True)), ledger, patch)
    sut.issue([Sample(70, 0)])
    settle(sut)
    figures = sut.snapshot()
    assert (figures.issued, figures.done, figures.tokens) == (1, 1, 2)
    assert figures.ttft_p50_s == figures.ttft_p99_s
    assert figures.ttft_p99_s is not None
    assert figures.ttft_p99_s > 0
    assert figures.tpot_p99_s is not None
    assert figures.tpot_p99_s > 0
    assert 0 < figures.elapsed_s < 60


def test_tokens_count_when_they_are_made_and_prompts_when_they_are_read(
    ledger: Ledger, patch: pytest.MonkeyPatch
) -> None:
    sut = start(Scripted(Chunk(70, ids(11), False), Chunk(70, ids(12), False)), ledger, patch)
    sut.issue([Sample(70, 0), Sample(71, 1)])
    deadline_s = time.monotonic() + 10.0
    while (figures := sut.snapshot()).tokens < 2:
        assert time.monotonic() < deadline_s
    sut.finish()
    assert (figures.done, figures.prompt_tokens, figures.prompt_tokens_issued) == (0, 3, 5)


def test_what_only_the_engine_knows_counts_from_the_start_of_the_test(
    ledger: Ledger, patch: pytest.MonkeyPatch
) -> None:
    executor = Scripted()
    executor.now = ExecutorStats(active=2, queued=0, prompt_tokens=100, tokens=1000)
    sut = start(executor, ledger, patch)
    sut.issue([Sample(70, 0), Sample(71, 1)])
    before = sut.snapshot()
    executor.now = ExecutorStats(active=2, queued=0, prompt_tokens=104, tokens=1007)
    after = sut.snapshot()
    executor.now = ExecutorStats(active=2, queued=0, prompt_tokens=111, tokens=1007)
    again = sut.snapshot()  # it had to read one of them twice
    sut.finish()
    assert (before.prompt_tokens, before.tokens) == (0, 0)
    assert (after.prompt_tokens, after.tokens) == (4, 7)
    assert again.prompt_tokens == again.prompt_tokens_issued == 5


def test_tokens_that_are_only_counted_are_a_sign_of_life(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = Scripted()
    sut = start(executor, ledger, monkeypatch)
    sut.issue([Sample(7, 0)])
    for tokens in (1, 2):
        before_s = sut.last_sign_s
        time.sleep(0.05)
        assert sut.last_sign_s == before_s
        executor.now = ExecutorStats(active=1, queued=0, tokens=tokens)
        deadline_s = time.monotonic() + 10.0
        while sut.last_sign_s == before_s:
            assert time.monotonic() < deadline_s
            time.sleep(0.001)
    sut.finish()


@pytest.mark.parametrize("streaming", [True, False])
def test_only_tokens_that_are_told_as_they_are_made_have_a_time(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, streaming: bool
) -> None:
    executor = Scripted(Chunk(7, ids(5, 6, 2), finished=True))
    limits = replace(LIMITS, streaming=streaming)
    sut = start(executor, ledger, monkeypatch, limits=limits)
    sut.issue([Sample(7, 0)])
    settle(sut)
    figures = sut.snapshot()
    assert figures.done == 1
    assert (figures.ttft_p99_s is not None, figures.tpot_p99_s is not None) == (streaming,) * 2
