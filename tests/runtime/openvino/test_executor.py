"""The OpenVINO executor over a real, tiny engine: batching, limits, streaming, and how it ends."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.build import build, make_spec
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.errors import EngineDied, EngineError, EnvironmentFault
from build_engine.progress import NullProgress
from build_engine.recipe import load_recipe
from build_engine.store.contents import seal_files
from build_engine.store.engine import Engine
from build_engine.store.limits import EngineLimits
from build_engine.store.manifest import write_manifest
from build_engine.store.store import EngineStore
from build_engine.target import load_target
from runtime.backend import load
from runtime.executor import Chunk, Request
from runtime.messages import Chunks
from runtime.openvino.executor import OpenVINOExecutor
from runtime.openvino.room import require_room
from runtime.openvino.spec import OpenVINOSpec
from runtime.openvino.worker import Engine as Pipeline
from runtime.openvino.worker import num_kv_blocks
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.manifests import resealed
from tests.build_engine.specs import CONFIG

LIMITS = EngineLimits(max_batch_size=4, max_input_len=48, max_seq_len=64, max_num_tokens=32)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    root = tmp_path_factory.mktemp("openvino")
    write_checkpoint(root / "tiny")
    checkpoint = resolve_checkpoint(str(root / "tiny"))
    spec = make_spec(checkpoint, load_target("cpu"), load_recipe("bf16"), LIMITS)
    return build(spec, EngineStore(root / "store"), NullProgress())


@pytest.fixture(scope="module")
def executor(engine: Engine) -> Iterator[OpenVINOExecutor]:
    started = OpenVINOExecutor(OpenVINOSpec(folder=engine.folder))
    yield started
    started.close()


def request(number: int, length: int = 40, **fields: object) -> Request:
    ids = np.random.default_rng(number).integers(5, 60, length).astype(np.int32)
    values: dict[str, object] = {
        "max_new_tokens": 8,
        "stop_ids": (2,),
        "ignore_eos": True,
        **fields,
    }
    return Request(number, ids, **values)  # type: ignore[arg-type]


def collect(executor: OpenVINOExecutor, num_answers: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    deadline_s = time.monotonic() + 60.0
    while sum(chunk.finished for chunk in chunks) < num_answers:
        assert time.monotonic() < deadline_s, f"only {chunks}"
        chunks += executor.poll(0.1)
    return chunks


def answers(executor: OpenVINOExecutor, requests: list[Request]) -> dict[int, list[int]]:
    executor.submit(requests)
    found: dict[int, list[int]] = {r.id: [] for r in requests}
    for chunk in collect(executor, len(requests)):
        assert chunk.error is None
        assert chunk.token_ids.dtype == np.int32
        found[chunk.id] += chunk.token_ids.tolist()
    return found


def test_answers_do_not_depend_on_what_else_is_in_flight(executor: OpenVINOExecutor) -> None:
    requests = [request(i, length=8 + 3 * i) for i in range(12)]  # three batches; prompts in chunks
    together = answers(executor, requests)
    assert all(len(ids) == 8 for ids in together.values())
    alone = {r.id: answers(executor, [r])[r.id] for r in requests[:4]}
    assert alone == {number: together[number] for number in alone}


def test_tokens_come_as_they_are_made(executor: OpenVINOExecutor) -> None:
    executor.submit([request(1)])
    chunks = collect(executor, 1)
    assert len(chunks) == 8
    assert [chunk.finished for chunk in chunks] == [False] * 7 + [True]


def test_an_answer_that_nobody_waits_for_comes_at_once(executor: OpenVINOExecutor) -> None:
    as_made = answers(executor, [request(1), request(2)])
    before = executor.stats().tokens
    assert before is not None
    executor.submit([request(1, streaming=False), request(2), request(3, 999, streaming=False)])
    chunks = collect(executor, 3)
    told = {number: [c for c in chunks if c.id == number] for number in (1, 2, 3)}
    assert [len(told[number]) for number in (1, 2, 3)] == [1, 8, 1]
    assert told[1][0].token_ids.tolist() == as_made[1]
    assert told[3][0].error is not None
    assert executor.stats().tokens == before + 16


def test_whole_answers_are_told_together_while_others_wait_for_a_place(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.openvino.worker._TELL_S", 1000.0)
    pipeline = Pipeline(OpenVINOSpec(folder=engine.folder))
    pipeline.step()  # the first figures
    whole = [request(i, 8, max_new_tokens=3 + i, streaming=False) for i in range(16)]
    pipeline.add(whole)
    news = steps(pipeline)
    assert len(news[0].rows) == 10  # as soon as a batch of four, and two, are left
    assert sorted(row[0] for chunks in news for row in chunks.rows) == list(range(16))
    assert all(len(chunks.rows) == 1 for chunks in news[1:])

    pipeline.add([*whole, request(16, 8, max_new_tokens=2)])
    told = [[row[0] for row in chunks.rows] for chunks in steps(pipeline)]
    assert sum(16 in rows for rows in told) == 2, "each of its tokens"
    pipeline.add([request(17, 999, streaming=False), *whole])
    assert [row[0] for row in steps(pipeline)[0].rows] == [17], "refused at once"


def test_what_was_made_before_a_fault_is_told_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.openvino.worker._TELL_S", 1000.0)
    pipeline = Pipeline(OpenVINOSpec(folder=engine.folder))
    pipeline.step()
    pipeline.add([request(i, 8, max_new_tokens=3 + i, streaming=False) for i in range(16)])
    while not pipeline._rows:
        assert pipeline.step() is None
    made = [row[0] for row in pipeline._rows]
    with monkeypatch.context() as broken:
        broken.setattr(pipeline, "_pipeline", Broken(pipeline._pipeline))
        told = pipeline.step()
        assert told is not None
        assert [row[0] for row in told.rows] == made
        with pytest.raises(RuntimeError, match="a product failed"):
            pipeline.step()
    monkeypatch.setattr(pipeline, "_fault", None)
    steps(pipeline)  # OpenVINO would say that its cache is in use


class Broken:
    """A pipeline whose iterations fail."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def step(self) -> None:
        raise RuntimeError("a product failed")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


def steps(pipeline: Pipeline) -> list[Chunks]:
    """All that it tells until it is idle."""
    told = []
    while not pipeline.idle:
        chunks = pipeline.step()
        told += [] if chunks is None else [chunks]
    return told


LONG = [request(number, length=8, max_new_tokens=56) for number in range(1, 21)]
"""Five batches: the last of them wait in front of the pipeline."""


def test_a_request_that_is_given_up_ends_and_makes_room(engine: Engine) -> None:
    pipeline = Pipeline(OpenVINOSpec(folder=engine.folder))
    pipeline.add(LONG)
    told: list[Chunks] = []
    while not any(row[0] == 1 for chunks in told for row in chunks.rows):
        chunks = pipeline.step()
        told += [] if chunks is None else [chunks]
    pipeline.cancel([1, 20, 99])
    told += steps(pipeline)
    rows = [row for chunks in told for row in chunks.rows]
    errors = {number: error for number, _, finished, error in rows if finished}
    assert {number for number, error in errors.items() if error} == {1, 20}
    assert "given up" in str(errors[1])
    assert sum(num_new for number, num_new, _, _ in rows if number == 1) < 56
    assert sum(num_new for number, num_new, _, _ in rows if number == 2) == 56
    assert told[-1].stats.active == told[-1].stats.queued == 0
    pipeline.add([request(1)])
    assert sum(row[1] for chunks in steps(pipeline) for row in chunks.rows) == 8


def test_what_is_given_up_is_told_to_the_engines_process(executor: OpenVINOExecutor) -> None:
    os.kill(executor.pid, signal.SIGSTOP)  # nothing is answered before both have been said
    try:
        executor.submit(LONG)
        executor.cancel([1, 20, 99])
    finally:
        os.kill(executor.pid, signal.SIGCONT)
    errors = {chunk.id: chunk.error for chunk in collect(executor, 20) if chunk.finished}
    assert {number for number, error in errors.items() if error} == {1, 20}
    assert "given up" in str(errors[1])
    assert executor.stats().active == executor.stats().queued == 0
    assert len(answers(executor, [request(1)])[1]) == 8


def test_an_answer_ends_with_the_stop_id_that_ended_it(executor: OpenVINOExecutor) -> None:
    ids = answers(executor, [request(1)])[1]
    stop = next(i for i in range(1, 8) if ids[i] not in ids[:i])
    stopped = answers(executor, [request(1, stop_ids=(61, ids[stop]), ignore_eos=False)])[1]
    assert stopped == ids[: stop + 1]


def test_min_new_tokens_holds_the_stop_id_back(executor: OpenVINOExecutor) -> None:
    first = answers(executor, [request(1)])[1][0]
    free = answers(executor, [request(1, stop_ids=(first,), ignore_eos=False, min_new_tokens=0)])[1]
    held = answers(executor, [request(1, stop_ids=(first,), ignore_eos=False, min_new_tokens=3)])[1]
    assert free == [first]
    assert len(held) >= 3
    assert first not in held[:2]


@pytest.mark.parametrize(
    ("length", "fields", "says"),
    [
        (49, {}, "its prompt has 49 tokens, the engine takes 48"),
        (48, {"max_new_tokens": 30}, "48 tokens and 30 new ones exceed the engine's 64"),
        (0, {}, "its prompt is empty"),
        (8, {"min_new_tokens": 9}, "it asks for at least 9 and at most 8 new tokens"),
        (8, {"min_new_tokens": 0, "max_new_tokens": 0}, "at least 0 and at most 0 new tokens"),
        (2, {"prompt_ids": np.array([5, 96], np.int32)}, "outside of the vocabulary of 96"),
        (2, {"prompt_ids": np.array([5, -7], np.int32)}, "outside of the vocabulary of 96"),
        (8, {"stop_ids": (2, -1)}, "it is to stop at -1"),
    ],
)
def test_a_request_that_cannot_be_served_fails_alone(
    executor: OpenVINOExecutor, length: int, fields: dict[str, Any], says: str
) -> None:
    executor.submit([replace(request(1, length), **fields), request(2)])
    chunks = collect(executor, 2)
    [error] = [chunk.error for chunk in chunks if chunk.id == 1]
    assert error is not None
    assert says in error
    assert sum(len(chunk.token_ids) for chunk in chunks if chunk.id == 2) == 8


def test_a_second_request_of_the_same_id_fails(executor: OpenVINOExecutor) -> None:
    executor.submit([request(1), request(1)])
    errors = [chunk.error for chunk in collect(executor, 2) if chunk.finished]
    assert sorted(errors, key=str) == [None, "its id is that of another open request"]


def test_stats_follow_the_work(executor: OpenVINOExecutor) -> None:
    executor.submit([request(i) for i in range(20)])
    finished = sum(chunk.finished for chunk in collect(executor, 1))
    stats = executor.stats()
    assert 0 < stats.active <= LIMITS.max_batch_size
    assert stats.queued > 0
    assert stats.kv_blocks_total is not None
    assert stats.kv_blocks_used is not None
    assert 0 < stats.kv_blocks_used <= stats.kv_blocks_total
    assert stats.iteration_s is not None
    assert 0 < stats.iteration_s < 60
    collect(executor, 20 - finished)
    assert executor.stats().active == 0


def test_the_prompt_tokens_told_are_those_that_the_cache_holds(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Blocks of the cache are the only other trace of a prompt that is read in part."""
    monkeypatch.setattr("runtime.openvino.worker._TELL_S", 0.0)
    block, lengths = 32, (48, 45, 9, 33, 3, 48, 40)
    pipeline = Pipeline(OpenVINOSpec(folder=engine.folder))
    pipeline.add([request(i, length) for i, length in enumerate(lengths)])
    held: dict[int, int] = {}  # tokens of each that is being answered
    whole, in_part = 0, []
    while not pipeline.idle:
        step = pipeline.step()
        assert step is not None
        for number, num_new, _, _ in step.rows:
            whole += 0 if number in held else lengths[number]
            held[number] = held.get(number, lengths[number] - 1) + num_new
        assert step.stats.prompt_tokens is not None
        in_part.append(step.stats.prompt_tokens - whole)
        blocks = sum(-(-tokens // block) for tokens in (*held.values(), in_part[-1]))
        assert step.stats.kv_blocks_used == blocks
        for number in [number for number, _, finished, _ in step.rows if finished]:
            del held[number]
    assert max(in_part) > min(in_part) == 0
    assert whole == sum(lengths)


def test_a_killed_engine_is_reported_at_once_and_from_then_on(engine: Engine) -> None:
    executor = OpenVINOExecutor(OpenVINOSpec(folder=engine.folder))
    executor.submit([request(1)])
    os.kill(executor.pid, signal.SIGKILL)
    for _ in range(2):
        with pytest.raises(EngineDied, match="ended by SIGKILL"):
            while True:
                executor.poll(1.0)
    with pytest.raises(EngineDied):
        executor.submit([request(2)])
    executor.close()


def test_prefix_caching_is_off(executor: OpenVINOExecutor) -> None:
    assert not executor.prefix_caching


def test_closing_ends_the_process_even_in_the_middle_of_work(engine: Engine) -> None:
    executor = OpenVINOExecutor(OpenVINOSpec(folder=engine.folder))
    executor.submit([request(i) for i in range(50)])
    executor.poll(1.0)
    executor.close()
    executor.close()
    assert not Path(f"/proc/{executor.pid}").exists()
    with pytest.raises(EngineDied, match="closed"):
        executor.poll(0.0)


def test_a_damaged_engine_is_not_started(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    shutil.copytree(engine.folder, folder)
    weights = folder / "openvino_model.bin"
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(EngineError, match=r"openvino_model\.bin was altered.*Build it again: "):
        load(OpenVINOSpec(folder=folder))


def test_an_engine_that_openvino_cannot_load_says_so(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    shutil.copytree(engine.folder, folder)
    (folder / "openvino_model.xml").write_text("<net")
    (folder / "engine.json").unlink()
    files = seal_files(folder)
    write_manifest(folder, engine.manifest.model_copy(update={"files": files}))
    with pytest.raises(EngineDied, match="the engine died: "):
        load(OpenVINOSpec(folder=folder))


def test_an_engine_of_another_version_is_refused(engine: Engine, tmp_path: Path) -> None:
    folder = tmp_path / "engine"
    shutil.copytree(engine.folder, folder)
    identity = engine.identity.backend
    older = identity.model_copy(update={"libraries": identity.libraries | {"openvino": "2024.0.0"}})
    write_manifest(folder, resealed(engine.manifest, backend=older))
    with pytest.raises(EngineError, match=r"backend.openvino is 2024\.0\.0 in the engine"):
        load(OpenVINOSpec(folder=folder))


def test_an_engine_that_has_no_room_is_not_started(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = OpenVINOSpec(folder=engine.folder)
    monkeypatch.setattr("runtime.remote.Child", None)
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: 1000)
    for asked in (lambda: load(spec), lambda: require_room(spec)):
        with pytest.raises(EnvironmentFault, match=r"1\.0 kB of host memory is free .* loading"):
            asked()
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: 10**12)
    require_room(spec)


def test_too_little_memory_for_one_sequence_is_said() -> None:
    model = replace(CONFIG, num_layers=10**9, num_kv_heads=8, head_dim=128)
    with pytest.raises(EnvironmentFault, match=r"^One sequence of 64 tokens needs .* --replicas"):
        num_kv_blocks(model, LIMITS, 2**40)


def test_the_cache_holds_a_full_batch_of_full_sequences() -> None:
    model = replace(CONFIG, num_layers=2, num_kv_heads=2, head_dim=16)
    assert num_kv_blocks(model, LIMITS, 2**30) == 4 * 3  # 64 tokens: two blocks and one spare
    block_bytes = 2 * 2 * 2 * 16 * 4 * 32
    assert num_kv_blocks(model, LIMITS, 10 * block_bytes) == 6  # of less memory, 60 % of it
