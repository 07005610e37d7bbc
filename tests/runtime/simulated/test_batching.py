"""A simulated engine in real time, behind the protocol: its chunks, their times, its figures."""

from __future__ import annotations

import time

import numpy as np
import pytest
from pydantic import ValidationError

from runtime.backend import load
from runtime.executor import Chunk, Executor, Request
from runtime.simulated import SimulatedSpec
from runtime.simulated.batching import BatchedAnswers
from runtime.simulated.model import EngineModel
from tests.runtime.simulated.models import STEADY, small

IDS = np.arange(100, 108, dtype=np.int32)


def request(number: int, prompt: int = 4, answer: int = 128, *, streaming: bool = True) -> Request:
    ids = np.arange(prompt, dtype=np.int32)
    return Request(number, ids, answer, streaming=streaming)


def answers(model: EngineModel | None = None, *, stream_interval: int = 1) -> BatchedAnswers:
    return BatchedAnswers(model or small(), IDS, stream_interval)


def seen(chunks: list[Chunk]) -> list[tuple[int, list[int], bool]]:
    return [(chunk.id, chunk.token_ids.tolist(), chunk.finished) for chunk in chunks]


def test_a_chunk_comes_when_its_iteration_ends_and_not_before() -> None:
    engine = answers()
    engine.add(request(1, answer=3), 1.0)
    assert engine.next_s is None
    assert engine.due(1.0) == []
    assert engine.next_s == pytest.approx(1.01)
    assert seen(engine.due(1.0101)) == [(1, [100], False)]
    assert seen(engine.due(1.0201)) == [(1, [101], False)]
    assert seen(engine.due(1.0301)) == [(1, [102], True)]
    assert (engine.due(2.0), engine.next_s) == ([], None)


def test_who_looks_late_gets_the_same_chunks() -> None:
    engine = answers()
    engine.add(request(1, answer=3), 1.0)
    engine.add(request(2, answer=1), 1.015)
    assert seen(engine.due(9.0)) == [
        (1, [100], False),
        (1, [101], False),
        (1, [102], True),
        (2, [100], True),  # came within the second iteration, and so is in the third
    ]


def test_an_answer_that_nobody_streams_comes_in_one_piece() -> None:
    engine = answers()
    engine.add(request(1, answer=5, streaming=False), 0.0)
    assert seen(engine.due(9.0)) == [(1, [100, 101, 102, 103, 104], True)]


def test_streamed_answers_are_told_every_so_many_iterations() -> None:
    engine = answers(stream_interval=3)
    engine.add(request(1, answer=8), 0.0)
    assert seen(engine.due(9.0)) == [
        (1, [100], False),
        (1, [101, 102, 103], False),
        (1, [104, 105, 106], False),
        (1, [107], True),
    ]


@pytest.mark.parametrize("stream_interval", [1, 3])
def test_an_answer_that_was_paused_loses_and_repeats_nothing(stream_interval: int) -> None:
    model = small("max_utilization", kv_blocks=6, time=STEADY)
    engine = answers(model, stream_interval=stream_interval)
    for number in (1, 2):
        engine.add(request(number, prompt=8, answer=8), 0.0)
    chunks = engine.due(9.0)
    for number in (1, 2):
        told = [ids for key, ids, _ in seen(chunks) if key == number]
        assert [each for ids in told for each in ids] == IDS.tolist()
        assert all(told)


def test_an_answer_is_no_longer_than_its_ids() -> None:
    engine = answers()
    engine.add(request(1, answer=50, streaming=False), 0.0)
    assert len(engine.due(9.0)[0].token_ids) == len(IDS)


def test_a_request_that_could_never_be_answered_fails_at_once() -> None:
    engine = answers()
    engine.add(request(1, prompt=60), 0.0)
    engine.add(request(2, answer=1), 0.0)
    (failed,) = engine.due(0.0)
    assert (failed.id, failed.finished, len(failed.token_ids)) == (1, True, 0)
    assert failed.error == "a prompt of 60 and an answer of 8 need more KV cache than there is"
    assert seen(engine.due(1.0)) == [(2, [100], True)]


def test_its_figures_are_those_of_the_iteration_that_goes_on() -> None:
    engine = answers(small(max_batch_size=1))
    for number in (1, 2, 3):
        engine.add(request(number, answer=5), 0.0)
    engine.due(0.0)
    now = engine.stats(3)
    assert (now.active, now.queued) == (1, 2)
    assert now.iteration_s == pytest.approx(0.01)
    assert (now.kv_blocks_used, now.kv_blocks_total) == (2, 8)  # 4 tokens and the next one


def collect(executor: Executor, num_answers: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    deadline_s = time.monotonic() + 10
    while sum(chunk.finished for chunk in chunks) < num_answers:
        assert time.monotonic() < deadline_s, f"only {chunks}"
        chunks += executor.poll(0.05)
    return chunks


def test_the_executor_takes_the_time_of_the_model() -> None:
    executor = load(SimulatedSpec(num_tokens=4, engine=small()))
    started_s = time.monotonic()
    executor.submit([request(1), request(2)])
    chunks = collect(executor, 2)
    assert time.monotonic() - started_s >= 0.04
    assert [chunk.id for chunk in chunks] == [1, 2] * 4
    executor.close()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"ttft_s": 0.1}, "give `engine`, or `samples_per_s`, `ttft_s` and `tpot_s`; not both"),
        ({"samples_per_s": 1.0}, "not both"),
        ({"num_tokens": 0}, "set `num_tokens` to 1"),
    ],
)
def test_an_engine_leaves_nothing_to_a_script(fields: dict[str, float], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        SimulatedSpec.model_validate({"engine": small(), **fields})
