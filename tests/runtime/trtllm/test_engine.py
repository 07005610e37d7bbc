"""The engine of the worker over the strict double, step by step: stop and length rules, what is
refused, how responses become chunks, and when it gives up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.errors import EngineError, EnvironmentFault
from runtime.executor import Chunk, Request
from runtime.trtllm import library, worker
from runtime.trtllm.spec import TRTLLMSpec
from runtime.trtllm.worker import Engine
from tests.contract.doubled import install_doubles, journal, write_engine

ENDLESS = [11, 12, 13, 14, 15, 11, 12, 13]  # of the eight that `request` asks for
Start = Callable[..., Engine]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Start an engine: fields of its spec as `spec`, the rest is its script."""
    install_doubles(tmp_path / "machine", monkeypatch)
    monkeypatch.setattr(worker, "_kept", [])

    def start(spec: dict[str, Any] | None = None, built: Any = None, **script: Any) -> Engine:
        folder = write_engine(tmp_path / "engine", built, **script)
        return Engine(TRTLLMSpec(folder=folder, **spec or {}))

    return start


def request(number: int, length: int = 6, **fields: Any) -> Request:
    ids = np.arange(20, 20 + length, dtype=np.int32)
    return replace(Request(number, ids, max_new_tokens=8, stop_ids=(2,)), **fields)


def chunks_of(engine: Engine) -> list[Chunk]:
    """What it tells until it is idle."""
    told: list[Chunk] = []
    deadline_s = time.monotonic() + 20.0
    while not engine.idle:
        assert time.monotonic() < deadline_s, told
        made = engine.step()
        told += made.chunks if made else []
    return told


def answer(engine: Engine, asked: Request) -> list[int]:
    engine.add([asked])
    told = chunks_of(engine)
    assert [chunk.error for chunk in told] == [None] * len(told)
    assert [chunk.finished for chunk in told] == [False] * (len(told) - 1) + [True]
    return [number for chunk in told for number in chunk.token_ids.tolist()]


def error(engine: Engine, asked: Request) -> str:
    engine.add([asked])
    [chunk] = chunks_of(engine)
    assert chunk.finished
    assert chunk.error is not None
    return chunk.error


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"stop_ids": (13,)}, [11, 12, 13]),  # the library leaves it out
        ({"stop_ids": (2, 12)}, [11, 12]),  # the library keeps it
        ({"stop_ids": (12, 11)}, [11]),  # others are not held back, and count as a token
        ({"stop_ids": (13, 12, 5)}, [11, 12]),
        ({"stop_ids": ()}, ENDLESS),
        ({"stop_ids": (13,), "ignore_eos": True}, ENDLESS),
        ({"stop_ids": (13, 12), "ignore_eos": True, "min_new_tokens": 4}, ENDLESS),
        ({"stop_ids": (11,), "min_new_tokens": 3}, [12, 12, 13, 14, 15, 11]),
        ({"stop_ids": (13,), "max_new_tokens": 3}, [11, 12, 13]),
        ({"stop_ids": (14,), "max_new_tokens": 3}, [11, 12, 13]),
        ({"max_new_tokens": 1}, [11]),
        ({"stop_ids": (11,), "min_new_tokens": 0}, [11]),
    ],
)
def test_an_answer_ends_by_our_rule(
    start: Start, fields: dict[str, Any], expected: list[int], streaming: bool
) -> None:
    assert answer(start(), request(1, streaming=streaming, **fields)) == expected


def test_streaming_tells_each_token_and_not_streaming_all_at_once(start: Start) -> None:
    engine = start(step_s=0.01)
    engine.add([request(1), request(2, streaming=False)])
    sizes: dict[int, list[int]] = {1: [], 2: []}
    for chunk in chunks_of(engine):
        sizes[chunk.id].append(len(chunk.token_ids))
    assert sizes[2] == [8]
    assert sum(sizes[1]) == 8
    assert len(sizes[1]) > 4


def test_responses_that_came_together_are_one_chunk(start: Start) -> None:
    engine = start(hold=100, empties=True)
    engine.add([request(1, stop_ids=(13,)), request(2, max_new_tokens=2)])
    told = {chunk.id: (chunk.token_ids.tolist(), chunk.finished) for chunk in chunks_of(engine)}
    assert told == {1: ([11, 12, 13], True), 2: ([11, 12], True)}


def test_a_response_may_come_before_the_library_returned_its_id(start: Start) -> None:
    assert answer(start(late=True), request(1, max_new_tokens=1)) == [11]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"length": 0}, "its prompt is empty"),
        ({"length": 65}, "its prompt has 65 tokens, the engine takes 64"),
        ({"length": 60, "max_new_tokens": 141}, "60 tokens and 141 new ones exceed the engine's"),
        ({"prompt_ids": np.array([5, 1000], np.int32)}, "ids outside of the vocabulary of 1000"),
        ({"prompt_ids": np.array([-1], np.int32)}, "ids outside of the vocabulary of 1000"),
        ({"stop_ids": (2, -1)}, "to stop at ids outside of the vocabulary of 1000"),
        ({"stop_ids": (1000,)}, "to stop at ids outside of the vocabulary of 1000"),
        ({"min_new_tokens": 9}, "it asks for at least 9 and at most 8 new tokens"),
        ({"min_new_tokens": 0, "max_new_tokens": 0}, "at least 0 and at most 0 new tokens"),
        ({"min_new_tokens": 2, "stop_ids": (2, 3)}, "the engine holds back one of them only"),
    ],
)
def test_what_the_library_would_not_refuse_is_refused_before(
    start: Start, fields: dict[str, Any], says: str, tmp_path: Path
) -> None:
    engine = start()
    assert says in error(engine, request(1, **fields))
    assert journal(tmp_path / "engine", "request") == []
    assert answer(engine, request(2))  # and it goes on


def test_without_parts_a_prompt_fits_into_one_iteration(start: Start) -> None:
    sizes = {"max_input_len": 64, "max_seq_len": 200, "max_batch_size": 8, "max_num_tokens": 40}
    engine = start(
        {"scheduler_policy": "max_utilization"},
        {**sizes, "plugin_config": {"use_paged_context_fmha": False}},
    )
    assert "has 41 tokens, the engine takes 40" in error(engine, request(1, 41))
    assert "could not be computed again after a pause" in error(engine, request(1, 34))
    assert len(answer(engine, request(1, 34, streaming=False))) == 8


def test_a_second_request_of_the_same_id_fails_alone(start: Start) -> None:
    engine = start()
    engine.add([request(1), request(1)])
    errors = [chunk.error for chunk in chunks_of(engine) if chunk.finished]
    assert sorted(errors, key=str) == [None, "its id is that of another open request"]


def test_the_library_is_given_some_batches_ahead_and_no_more(start: Start, tmp_path: Path) -> None:
    engine = start(answer=[7], step_s=1.0)
    engine.add([request(i) for i in range(100)])
    engine.step()
    assert len(journal(tmp_path / "engine", "request")) == 4 * 8
    made = None
    while made is None or made.stats.kv_blocks_total is None:  # the library's figures come apart
        made = engine.step() or made
    assert (made.stats.active, made.stats.queued) == (8, 92)
    assert made.stats.kv_blocks_total == 100
    assert made.stats.iteration_s == 0.0025


def test_what_no_answer_tells_yet_is_counted(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_STATS_EVERY_S", 0.0)
    engine = start(answer=[7], step_s=0.02)
    engine.add([request(i, length=5 + i, streaming=False) for i in range(3)])
    seen = []
    while not engine.idle:
        if (made := engine.step()) is not None:
            seen.append((made.stats.prompt_tokens, made.stats.tokens or 0, bool(made.rows)))
    assert {prompts for prompts, _, _ in seen} == {5 + 6 + 7}
    silent = [tokens for _, tokens, told in seen if not told]
    assert silent == sorted(silent)
    assert len(set(silent)) > 3
    assert silent[-1] <= 3 * 7  # without the first of each
    assert 3 * 7 <= seen[-1][1] <= 3 * 8  # without the last iteration, perhaps


def test_figures_are_zero_when_nothing_is_open(start: Start) -> None:
    engine = start()
    engine.add([request(1)])
    last = None
    while not engine.idle:
        last = engine.step() or last
    assert last is not None
    assert (last.stats.active, last.stats.queued) == (0, 0)
    assert last.stats.kv_blocks_used in (None, 0)


def test_an_error_ends_its_request_alone(start: Start) -> None:
    engine = start(fault="request", fault_at=2)
    engine.add([request(i) for i in (1, 2, 3)])
    ends = {chunk.id: chunk.error for chunk in chunks_of(engine) if chunk.finished}
    assert ends == {
        1: None,
        2: "Assertion failed: it is broken (/src/tensorrt_llm/double.cpp:1)",
        3: None,
    }


def test_one_bad_step_fails_its_requests_and_the_next_are_served(start: Start) -> None:
    engine = start(fault="step", fault_at=1)
    engine.add([request(i) for i in (1, 2)])
    ends = {chunk.id: chunk.error for chunk in chunks_of(engine)}
    assert ends == dict.fromkeys((1, 2), "Encountered an error in forwardAsync function: no room")
    assert len(answer(engine, request(3))) == 8


def test_step_after_step_that_fails_is_the_end(start: Start) -> None:
    engine = start(fault="steps")
    assert "no room" in error(engine, request(1))
    with pytest.raises(RuntimeError, match=r"^step after step fails: .* function: no room$"):
        error(engine, request(2))


def test_a_lost_gpu_is_the_end_at_once(start: Start) -> None:
    engine = start(fault="cuda")
    with pytest.raises(RuntimeError, match=r"CUDA runtime error .* encountered$"):
        error(engine, request(1))


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ({"max_batch_size": 9}, "`max_batch_size` is 9, and `engine` was built for 8"),
        ({"max_num_tokens": 129}, "`max_num_tokens` is 129, and `engine` was built for 128"),
    ],
)
def test_sizes_beyond_the_engines_are_refused(start: Start, spec: Any, says: str) -> None:
    with pytest.raises(EngineError, match=says):
        start(spec)


def test_an_engine_without_paged_attention_computes_no_prompt_in_parts(start: Start) -> None:
    built = {"plugin_config": {"use_paged_context_fmha": False}}
    sizes = {"max_input_len": 64, "max_seq_len": 200, "max_batch_size": 8, "max_num_tokens": 128}
    with pytest.raises(EngineError, match="without paged context attention"):
        start({"chunked_context": True}, {**sizes, **built})


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (None, r"config\.json is missing; build the engine again"),
        ("{", r"config\.json is not valid JSON"),
        ('{"version": "1.2.1", "build_config": {}}', r"config\.json: .*is missing"),
    ],
)
def test_a_broken_description_of_the_engine_is_told(
    tmp_path: Path, config: str | None, says: str
) -> None:
    folder = write_engine(tmp_path / "engine")
    (folder / "config.json").unlink()
    if config is not None:
        (folder / "config.json").write_text(config)
    with pytest.raises(EngineError, match=says):
        Engine(TRTLLMSpec(folder=folder))


def test_an_engine_of_another_version_is_refused_before_it_loads(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorrt_llm

    monkeypatch.setattr(tensorrt_llm, "__version__", "1.2.0")
    with pytest.raises(EngineError, match=r"was built by TensorRT-LLM 1\.2\.1 and this is 1\.2\.0"):
        start()


def test_a_library_with_other_defaults_is_refused_by_their_names(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tensorrt_llm.bindings import executor as trt

    changed = [dict(param) for param in trt.KvCacheConfig.PARAMS]
    next(param for param in changed if param["name"] == "use_uvm")["default"] = "True"
    monkeypatch.setattr(trt.KvCacheConfig, "PARAMS", changed)
    monkeypatch.delattr(trt.OutputConfig, "return_perf_metrics")
    with pytest.raises(EnvironmentFault) as caught:
        start()
    assert "KvCacheConfig.use_uvm is True, not False" in str(caught.value)
    assert "OutputConfig.return_perf_metrics is missing, not False" in str(caught.value)


def test_without_the_library_the_remedy_is_told(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tensorrt_llm", None)
    with pytest.raises(EnvironmentFault, match="run in its container"):
        start()


def test_what_the_library_is_given_at_its_start(start: Start, tmp_path: Path) -> None:
    start(
        {
            "scheduler_policy": "max_utilization",
            "kv_cache_fraction": 0.8,
            "max_batch_size": 4,
            "max_num_tokens": 100,
            "cuda_graphs": True,
        }
    )
    [config] = journal(tmp_path / "engine", "executor")
    policy = config["scheduler_config"]["capacity_scheduler_policy"]
    assert policy == "CapacitySchedulerPolicy.MAX_UTILIZATION"
    assert config["kv_cache_config"]["free_gpu_memory_fraction"] == 0.8
    assert config["kv_cache_config"]["enable_block_reuse"] is False
    assert config["kv_cache_config"]["enable_partial_reuse"] is False
    assert config["enable_chunked_context"] is True
    assert (config["max_batch_size"], config["max_num_tokens"]) == (4, 100)
    assert config["extended_runtime_perf_knob_config"]["cuda_graph_mode"] is True
    assert config["fail_fast_on_attention_window_too_large"] is True


def test_the_environment_names_no_launcher_and_the_gpu() -> None:
    ours = {"PMIX_RANK": "0", "SLURM_JOB_ID": "7", "OMPI_COMM_WORLD_RANK": "0", "PMI_RANK": "1"}
    ours |= {"OMPI_MCA_ess": "^singleton", "OMPI_MCA_orte_hnp_uri": "1.0;tcp://10.0.0.1:1"}
    kept = {"PATH": "/bin", "TLLM_LOG_LEVEL": "ERROR", "OMPI_MCA_coll_hcoll_enable": "0"}
    assert library.prepare(ours | kept, None) == kept
    assert library.prepare({}, 1) == {"TLLM_LOG_LEVEL": "INFO", "CUDA_VISIBLE_DEVICES": "1"}


def test_leaving_an_engine_with_open_work_waits_for_nothing(start: Start, tmp_path: Path) -> None:
    engine = start(fault="silence")
    engine.add([request(1)])
    engine.step()
    del engine
    assert journal(tmp_path / "engine", "shutdown") == []
    assert len(worker._kept) == 1  # as a destructor would
