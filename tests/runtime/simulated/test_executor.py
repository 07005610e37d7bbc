"""The simulated executor: the protocol, its time model, and the faults it rehearses."""

from __future__ import annotations

import time

import numpy as np
import pytest

from build_engine.errors import EngineDied
from runtime.backend import load
from runtime.executor import Chunk, Executor, Request
from runtime.simulated import SimulatedSpec


def request(number: int, max_new_tokens: int = 128) -> Request:
    return Request(number, np.arange(4, dtype=np.int32), max_new_tokens)


def collect(executor: Executor, num_answers: int, limit_s: float = 10.0) -> list[Chunk]:
    chunks: list[Chunk] = []
    deadline_s = time.monotonic() + limit_s
    while sum(chunk.finished for chunk in chunks) < num_answers:
        assert time.monotonic() < deadline_s, f"only {chunks}"
        chunks += executor.poll(0.05)
    return chunks


def test_instant_answers_come_in_one_chunk_each_in_order() -> None:
    executor = load(SimulatedSpec(num_tokens=3))
    executor.submit([request(1), request(2)])
    executor.submit([request(3)])
    chunks = collect(executor, 3)
    assert [chunk.id for chunk in chunks] == [1, 2, 3]
    assert all(chunk.token_ids.tolist() == [100, 101, 102] for chunk in chunks)
    assert all(chunk.token_ids.dtype == np.int32 for chunk in chunks)


def test_an_answer_is_no_longer_than_asked_for() -> None:
    executor = load(SimulatedSpec(num_tokens=50))
    executor.submit([request(1, max_new_tokens=7)])
    assert len(collect(executor, 1)[0].token_ids) == 7


def test_timed_answers_give_the_first_token_on_its_own() -> None:
    executor = load(SimulatedSpec(num_tokens=4, ttft_s=0.01, tpot_s=0.01))
    executor.submit([request(1)])
    first, rest = collect(executor, 1)
    assert (first.token_ids.tolist(), first.finished) == ([100], False)
    assert (rest.token_ids.tolist(), rest.finished) == ([101, 102, 103], True)


@pytest.mark.parametrize("ttft_s", [0.0, 0.01])
def test_an_answer_without_tokens_ends_too(ttft_s: float) -> None:
    executor = load(SimulatedSpec(num_tokens=0, ttft_s=ttft_s))
    executor.submit([request(1)])
    (chunk,) = collect(executor, 1)
    assert (len(chunk.token_ids), chunk.finished) == (0, True)


def test_a_rate_spaces_the_answers() -> None:
    executor = load(SimulatedSpec(num_tokens=1, samples_per_s=50.0))
    started_s = time.monotonic()
    executor.submit([request(i) for i in range(11)])
    collect(executor, 11)
    assert time.monotonic() - started_s >= 10 / 50.0


def test_poll_returns_nothing_when_nothing_is_due() -> None:
    executor = load(SimulatedSpec(ttft_s=30.0))
    executor.submit([request(1)])
    assert executor.poll(0.01) == []
    assert executor.stats().active == 1


def test_a_dead_engine_hands_out_its_last_chunks_and_then_only_raises() -> None:
    executor = load(SimulatedSpec(fault="die", fault_after=1))
    executor.submit([request(1), request(2), request(3)])
    assert [(chunk.id, chunk.finished) for chunk in executor.poll(1.0)] == [(1, True)]
    for _ in range(2):
        with pytest.raises(EngineDied, match="died at answer 1"):
            executor.poll(1.0)
    with pytest.raises(EngineDied):
        executor.submit([request(3)])


def test_a_failed_request_is_a_finished_chunk_with_its_error() -> None:
    executor = load(SimulatedSpec(num_tokens=2, fault="error", fault_after=0))
    executor.submit([request(1), request(2)])
    failed, answered = collect(executor, 2)
    assert (failed.id, failed.error, len(failed.token_ids)) == (1, "failed as told", 0)
    assert answered.error is None


def test_closing_twice_is_closing_once() -> None:
    executor = load(SimulatedSpec())
    executor.close()
    executor.close()
    with pytest.raises(EngineDied, match="closed"):
        executor.poll(0.0)
