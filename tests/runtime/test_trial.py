"""A build ends with an engine that answered, or without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from build_engine.build import build, make_spec
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.errors import BuildFailed, EngineDied
from build_engine.progress import NullProgress
from build_engine.recipe import load_recipe
from build_engine.store.engine import Engine
from build_engine.store.limits import EngineLimits
from build_engine.store.spec import EngineSpec
from build_engine.store.store import EngineStore
from build_engine.target import load_target
from runtime import trial
from runtime.executor import Chunk, ExecutorStats, Request
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.specs import tiny_spec, write_engine

LIMITS = EngineLimits(max_batch_size=2, max_input_len=3, max_seq_len=4)


class Answering:
    """An executor that answers every request with the same chunks."""

    prefix_caching = False

    def __init__(self, *chunks: Chunk | Exception) -> None:
        self.chunks = list(chunks)
        self.asked: list[Request] = []
        self.closed = False

    def submit(self, requests: list[Request]) -> None:
        self.asked += requests

    def poll(self, timeout_s: float) -> list[Chunk]:
        chunk = self.chunks.pop(0)
        if isinstance(chunk, Exception):
            raise chunk
        return [chunk]

    def stats(self) -> ExecutorStats:
        return ExecutorStats(active=0, queued=0)

    def close(self) -> None:
        self.closed = True


def chunk(*ids: int, finished: bool = True, error: str | None = None) -> Chunk:
    return Chunk(0, np.array(ids, np.int32), finished, error)


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    checkpoint = resolve_checkpoint(str(write_checkpoint(tmp_path / "tiny")))
    return make_spec(checkpoint, load_target("cpu"), load_recipe("bf16"), LIMITS)


def test_a_built_engine_answers_a_prompt_that_fits_it(tmp_path: Path, spec: EngineSpec) -> None:
    store = EngineStore(tmp_path / "store")
    tried: list[Engine] = []

    def remember(engine: Engine) -> None:
        trial.answer_one(engine)
        tried.append(engine)

    engine = build(spec, store, NullProgress(), remember)
    assert [each.key for each in tried] == [engine.key]
    assert tried[0].folder.name.startswith(".building-")
    build(spec, store, NullProgress(), lambda _: pytest.fail("it was found, not built"))


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([chunk(error="no room")], "answers no prompt: no room; it was not kept"),
        ([chunk(5, finished=False), chunk(error="late")], "answers no prompt: late"),
        ([chunk()], r"it answered with the ids \[\]"),
        ([chunk(5, finished=False), chunk(96)], r"it answered with the ids \[5, 96\]"),
        ([EngineDied("the engine died: x")], "answers no prompt: the engine died: x"),
    ],
)
def test_an_engine_that_does_not_answer_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: list[Chunk | Exception], told: str
) -> None:
    executor = Answering(*answer)
    monkeypatch.setattr(trial, "load", lambda _: executor)
    store = EngineStore(tmp_path / "store")
    with pytest.raises(BuildFailed, match=told):
        store.get_or_build(
            tiny_spec(tmp_path / "tiny"), write_engine, NullProgress(), trial.answer_one
        )
    assert executor.closed
    assert store.list() == []
    assert not list((tmp_path / "store").rglob(".building-*"))


def test_an_engine_that_goes_silent_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "load", lambda _: Answering(chunk(5, finished=False)))
    monkeypatch.setattr(trial, "_LIMIT_S", -1.0)
    with pytest.raises(BuildFailed, match="it gave no answer within"):
        EngineStore(tmp_path).get_or_build(
            tiny_spec(tmp_path / "tiny"), write_engine, NullProgress(), trial.answer_one
        )


def test_an_engine_for_several_gpus_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial, "load", lambda _: pytest.fail("it was loaded"))
    plain = tiny_spec(tmp_path / "tiny")
    spread = replace(plain, limits=replace(plain.limits, tensor_parallel=2))
    store = EngineStore(tmp_path / "store")
    assert store.get_or_build(spread, write_engine, NullProgress(), trial.answer_one).key


def test_tokens_as_objects_and_numbers_as_text_do_not_reach_the_engine(
    tmp_path: Path, spec: EngineSpec
) -> None:
    """Both made the runtime die with an error of its JSON library."""
    folder = spec.checkpoint.folder
    token = '{"__type": "AddedToken", "content": "t5", "lstrip": false, "rstrip": false}'
    (folder / "tokenizer_config.json").write_text(
        f'{{"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": {token}, '
        '"model_max_length": "many"}'
    )
    (folder / "generation_config.json").write_text(
        '{"eos_token_id": 2, "temperature": "0.6", "max_length": "x", "top_k": {"a": 1}}'
    )
    checkpoint = resolve_checkpoint(str(folder))
    odd = make_spec(checkpoint, spec.target, spec.recipe, LIMITS)
    engine = build(odd, EngineStore(tmp_path / "store"), NullProgress(), trial.answer_one)
    assert '"bos_token": "t5"' in (engine.folder / "tokenizer_config.json").read_text()
    assert "temperature" not in (engine.folder / "generation_config.json").read_text()
