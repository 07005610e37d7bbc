"""The executor over its process, whose library is a strict double: what it refuses to start, what
counts as a sign of life, and that it ends at once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from build_engine.errors import EngineDied, EngineError
from build_engine.store.engine import Engine
from build_engine.store.limits import EngineLimits
from build_engine.store.manifest import write_manifest
from runtime.backend import load
from runtime.executor import Chunk, Executor, Foresighted, Request
from runtime.trtllm.executor import TRTLLMExecutor
from runtime.trtllm.spec import TRTLLMSpec
from tests.build_engine.manifests import resealed
from tests.contract.doubled import VERSIONS, install_doubles, journal, write_engine

Start = Callable[..., Executor]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Start an executor: fields of its spec as `spec`, the rest is its script."""
    install_doubles(tmp_path / "machine", monkeypatch)
    started: list[Executor] = []

    def start(spec: dict[str, Any] | None = None, **script: Any) -> Executor:
        folder = write_engine(tmp_path / "engine", **script)
        started.append(load(TRTLLMSpec(folder=folder, **spec or {})))
        return started[-1]

    yield start
    for executor in started:
        executor.close()
    assert psutil.Process().children() == []


def request(number: int, **fields: Any) -> Request:
    return Request(number, np.arange(4, dtype=np.int32), 8, **fields)


def collect(executor: Executor, num_answers: int) -> list[Chunk]:
    chunks: list[Chunk] = []
    deadline_s = time.monotonic() + 30.0
    while sum(chunk.finished for chunk in chunks) < num_answers:
        assert time.monotonic() < deadline_s, chunks
        chunks += executor.poll(0.1)
    return chunks


def test_iterations_are_a_sign_of_life_where_no_token_comes(start: Start, tmp_path: Path) -> None:
    executor = start({"silence_s": 1.0, "gpu": 0}, step_s=0.3)
    executor.submit([request(1, streaming=False)])
    [chunk] = collect(executor, 1)  # after 8 steps
    assert chunk.token_ids.tolist() == [11, 12, 13, 14, 15, 11, 12, 13]
    time.sleep(1.1)  # idle is not silent
    executor.submit([request(2, streaming=False)])
    assert len(collect(executor, 1)) == 1
    assert executor.stats().active == 0
    assert not executor.prefix_caching
    [environment] = journal(tmp_path / "engine", "environment")
    assert environment["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(
    ("fields", "part", "says"),
    [
        ({"min_new_tokens": 2, "stop_ids": (7, 8, 9)}, "min_new_tokens", "has 3 stop ids"),
        ({"stop_ids": (999_999,)}, "stop_ids", "outside of the vocabulary of 1000"),
        ({}, None, ""),
    ],
)
def test_what_the_engine_refuses_is_known_beforehand(
    start: Start, fields: dict[str, Any], part: str | None, says: str
) -> None:
    executor = start()
    assert isinstance(executor, Foresighted)
    asked = request(1, **fields)
    fault = executor.unservable(asked)
    executor.submit([asked])
    error = collect(executor, 1)[-1].error
    assert error == (None if fault is None else fault.reason)
    assert (None if fault is None else fault.part) == part
    assert says in (error or "")


def test_silence_is_the_end_and_stays_it(start: Start) -> None:
    executor = start({"silence_s": 0.5}, fault="silence")
    executor.submit([request(1), request(2)])
    for _ in range(2):
        with pytest.raises(EngineDied, match=r"it gave no sign for 0\.5 s, with 2 requests open$"):
            while True:
                executor.poll(0.1)
    with pytest.raises(EngineDied):
        executor.submit([request(3)])


@pytest.mark.parametrize("fault", ["silence", None])
def test_closing_with_open_work_waits_for_none_of_it(
    start: Start, tmp_path: Path, fault: str | None
) -> None:
    executor = start(fault=fault, step_s=1.0)
    assert isinstance(executor, TRTLLMExecutor)
    executor.submit([request(i) for i in range(100)])
    time.sleep(0.2)
    started_s = time.monotonic()
    executor.close()
    assert time.monotonic() - started_s < 3.0
    assert not Path(f"/proc/{executor.pid}").exists()
    assert journal(tmp_path / "engine", "shutdown") == []


def test_a_broken_engine_ends_its_process_though_work_is_open(start: Start) -> None:
    executor = start(fault="cuda", fault_at=3)
    assert isinstance(executor, TRTLLMExecutor)
    executor.submit([request(i) for i in range(100)])
    with pytest.raises(EngineDied, match=r"an illegal memory access was encountered$"):
        while True:
            executor.poll(0.1)
    assert os.waitid(os.P_PID, executor.pid, os.WEXITED | os.WNOWAIT) is not None


def test_what_the_library_wrote_is_kept_when_it_died(
    start: Start, capsys: pytest.CaptureFixture[str]
) -> None:
    executor = start(fault="abort")
    executor.submit([request(1)])
    with pytest.raises(EngineDied, match="ended by SIGABRT"):
        while True:
            executor.poll(1.0)
    written = capsys.readouterr().err
    assert "[TensorRT-LLM] TensorRT-LLM version: 1.2.1\n" in written
    assert written.endswith("terminate called after throwing an exception\n")


def test_a_killed_engine_is_told_by_its_signal(start: Start) -> None:
    executor = start(step_s=0.5)
    assert isinstance(executor, TRTLLMExecutor)
    executor.submit([request(1)])
    os.kill(executor.pid, signal.SIGKILL)
    with pytest.raises(EngineDied, match="ended by SIGKILL"):
        while True:
            executor.poll(1.0)


AGAIN = r".*; rebuild it with: enginebench build --model /models/tiny --target "


def test_an_engine_for_another_gpu_is_not_started(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_doubles(tmp_path / "other", monkeypatch, gpu="NVIDIA L4")
    told = r"target\.name is a30 in the engine and l4 .*; target\.compute is sm_80 .* and sm_89"
    with pytest.raises(EngineError, match=f"{told}{AGAIN}l4 --recipe bf16"):
        start()
    assert psutil.Process().children() == []


@pytest.mark.parametrize(("library", "here"), [("tensorrt-llm", "1.2.1"), ("tensorrt", "10.14.1")])
def test_an_engine_of_another_version_is_not_started(
    start: Start, tmp_path: Path, library: str, here: str
) -> None:
    start().close()
    folder = tmp_path / "engine"
    manifest = Engine.load(folder).manifest
    older = manifest.identity.backend.model_copy(update={"libraries": {**VERSIONS, library: "1.0"}})
    write_manifest(folder, resealed(manifest, backend=older))
    told = rf"backend\.{library} is 1\.0 in the engine and {here} here"
    with pytest.raises(EngineError, match=f"{told}{AGAIN}a30 --recipe bf16"):
        load(TRTLLMSpec(folder=folder))
    assert psutil.Process().children() == []


@pytest.mark.parametrize("file", ["config.json", "engine.json"])
def test_an_edited_engine_is_not_started(start: Start, tmp_path: Path, file: str) -> None:
    start().close()
    edited = tmp_path / "engine" / file
    edited.write_text(edited.read_text().replace('"max_batch_size": 8', '"max_batch_size": 9'))
    with pytest.raises(EngineError, match=rf"{file} was altered: .*[Bb]uild ") as caught:
        load(TRTLLMSpec(folder=tmp_path / "engine"))
    if file == "config.json":
        assert "Build it again: enginebench build --model /models/tiny" in str(caught.value)
    assert psutil.Process().children() == []


def test_an_engine_over_several_gpus_is_not_started(start: Start) -> None:
    limits = EngineLimits(max_input_len=64, max_seq_len=200, tensor_parallel=2)
    with pytest.raises(EngineError, match="that 2 GPUs share is built here and not executed"):
        start(limits=limits)


def test_a_damaged_engine_is_not_started(start: Start, tmp_path: Path) -> None:
    start().close()
    (tmp_path / "engine" / "rank0.engine").write_bytes(b"another")
    with pytest.raises(EngineError, match=r"rank0\.engine"):
        load(TRTLLMSpec(folder=tmp_path / "engine"))
