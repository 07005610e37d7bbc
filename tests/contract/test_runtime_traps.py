"""Each trap that the facts name is laid by the doubles."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.contract.doubled import ROOT
from tests.contract.engine_double import Executor
from tests.contract.strict import FACTS
from tests.contract.using import W, executor, refused, request, responses

Trap = Callable[[Path], object]
TRAPS: dict[str, Trap] = {}


def trap(sentence: str) -> Callable[[Trap], Trap]:
    def lay(check: Trap) -> Trap:
        assert sentence not in TRAPS
        TRAPS[sentence] = check
        return check

    return lay


@trap("Request takes two positional arguments; every other one must be named")
def _(folder: Path) -> None:
    refused(TypeError, lambda: W.Request([5], 3, True))


@trap("SamplingConfig takes one positional argument")
def _(folder: Path) -> None:
    refused(TypeError, lambda: W.SamplingConfig(1, 1))


@trap(
    "KvCacheConfig: arguments after event_buffer_max_size must be named; never pass onboard_blocks"
)
def _(folder: Path) -> None:
    refused(TypeError, lambda: W.KvCacheConfig(*[None] * 11, True))
    refused(TypeError, lambda: W.KvCacheConfig(onboard_blocks=True))


@trap("ExtendedRuntimePerfKnobConfig(cuda_graph_mode=...) is a TypeError; set the property")
def _(folder: Path) -> None:
    refused(TypeError, lambda: W.ExtendedRuntimePerfKnobConfig(cuda_graph_mode=True))
    knobs = W.ExtendedRuntimePerfKnobConfig()
    assert knobs.cuda_graph_mode is False
    knobs.cuda_graph_mode = True
    assert knobs.cuda_graph_mode is True


@trap("DynamicBatchConfig needs all three arguments")
def _(folder: Path) -> None:
    given = {"enable_batch_size_tuning": True, "enable_max_num_tokens_tuning": True}
    refused(TypeError, lambda: W.DynamicBatchConfig(**given))
    W.DynamicBatchConfig(**given, dynamic_batch_moving_average_window=128)


@trap("Executor has no is_participant")
def _(folder: Path) -> None:
    assert not hasattr(Executor, "is_participant")


@trap("ExecutorConfig.enable_chunked_context is False unless given")
def _(folder: Path) -> None:
    assert W.ExecutorConfig().enable_chunked_context is False


@trap("KvCacheConfig.enable_block_reuse is True unless given")
def _(folder: Path) -> None:
    assert W.KvCacheConfig().enable_block_reuse is True


@trap(
    "OutputConfig.exclude_input_from_output is False unless given: a non-streaming answer then "
    "starts with the prompt"
)
def _(folder: Path) -> None:
    [response] = responses(executor(folder), request())
    assert response.result.output_token_ids == [[5, 6, 11, 12, 13]]


@trap("setters of optional numbers refuse None (TypeError), except ExecutorConfig.max_queue_size")
def _(folder: Path) -> None:
    config = W.ExecutorConfig()
    for name in ("max_batch_size", "max_num_tokens", "parallel_config"):
        refused(TypeError, partial(setattr, config, name, None))
    config.max_queue_size = None
    refused(TypeError, lambda: setattr(W.KvCacheConfig(), "free_gpu_memory_fraction", None))
    refused(TypeError, lambda: setattr(request(), "end_id", None))


@trap("unknown keyword -> TypeError naming the supported signatures")
def _(folder: Path) -> None:
    assert "max_batch_size" in refused(TypeError, lambda: W.ExecutorConfig(max_batchsize=1))


@trap("enum members are not integers")
def _(folder: Path) -> None:
    refused(TypeError, lambda: W.SchedulerConfig(capacity_scheduler_policy=0))
    refused(
        TypeError,
        lambda: W.SchedulerConfig(capacity_scheduler_policy=W.BatchingType.INFLIGHT),
    )
    refused(AttributeError, lambda: W.CapacitySchedulerPolicy.GUARANTEED_NO_EVICTION)
    assert W.FinishReason.END_ID != 1


@trap(
    "ExecutorConfig.extended_runtime_perf_knob_config, parallel_config, decoding_config and "
    "others are copies when read; Request.sampling_config and output_config too"
)
def _(folder: Path) -> None:
    config = W.ExecutorConfig()
    config.extended_runtime_perf_knob_config.cuda_graph_mode = True
    assert config.extended_runtime_perf_knob_config.cuda_graph_mode is False
    asked = request(sampling_config=W.SamplingConfig(top_k=1))
    asked.sampling_config.top_k = 5
    asked.output_config.exclude_input_from_output = True
    assert (asked.sampling_config.top_k, asked.output_config.exclude_input_from_output) == (
        1,
        False,
    )


@trap(
    "ExecutorConfig.kv_cache_config and scheduler_config are references when read (but "
    "SchedulerConfig has no setters)"
)
def _(folder: Path) -> None:
    config = W.ExecutorConfig()
    config.kv_cache_config.enable_block_reuse = False
    assert config.kv_cache_config.enable_block_reuse is False
    policy = W.CapacitySchedulerPolicy.MAX_UTILIZATION
    refused(
        AttributeError,
        lambda: setattr(config.scheduler_config, "capacity_scheduler_policy", policy),
    )


@trap("await_responses(5) waits for request 5; a time must be a timedelta (or a float of seconds)")
def _(folder: Path) -> None:
    engine: Any = executor(folder)
    assert "id of a request" in refused(TypeError, lambda: engine.await_responses(5))
    refused(TypeError, lambda: engine.await_responses(timeout=5))


@trap("a timedelta below one millisecond becomes zero")
def _(folder: Path) -> None:
    engine = executor(folder)
    started_s = time.monotonic()
    for _each in range(100):
        assert engine.await_responses(timeout=timedelta(microseconds=999)) == []
    assert time.monotonic() - started_s < 0.09


@trap("Response.result raises on an error response; Response.error_msg raises on a good one")
def _(folder: Path) -> None:
    engine = executor(folder, fault="request", fault_at=2)
    told = responses(engine, request(), request())
    good, bad = sorted(told, key=lambda each: bool(each.has_error()))
    refused(RuntimeError, lambda: good.error_msg)
    refused(RuntimeError, lambda: bad.result)


@trap("output_token_ids is a new nested list at each access")
def _(folder: Path) -> None:
    [response] = responses(executor(folder), request())
    response.result.output_token_ids[0].clear()
    assert response.result.output_token_ids[0]


@trap(
    "with end_id the end token is missing from the answer and the last streaming response may be "
    "empty"
)
def _(folder: Path) -> None:
    told = responses(executor(folder), request(end_id=12, streaming=True))
    assert [each.result.output_token_ids for each in told] == [[[11]], [[]]]
    assert told[-1].result.finish_reasons == [W.FinishReason.END_ID]


@trap("with stop_words the stop token is in the answer")
def _(folder: Path) -> None:
    told = responses(executor(folder), request(stop_words=[[12]], streaming=True))
    assert [each.result.output_token_ids for each in told] == [[[11]], [[12]]]
    assert told[-1].result.finish_reasons == [W.FinishReason.STOP_WORDS]


@trap("a prompt that is too long fails in a response, not in enqueue")
def _(folder: Path) -> None:
    [response] = responses(executor(folder), request(input_token_ids=[5] * 129))
    assert "Prompt length (129) exceeds maximum input length (128)." in response.error_msg


@trap("max_tokens too large for the engine is lowered without an error")
def _(folder: Path) -> None:
    asked = request(input_token_ids=[5] * 100, max_tokens=150)
    [response] = responses(executor(folder), asked)
    assert len(response.result.output_token_ids[0]) == 200
    assert response.result.finish_reasons == [W.FinishReason.LENGTH]


@trap("an exception in a step becomes an error response of every active request")
def _(folder: Path) -> None:
    told = responses(executor(folder, fault="step", fault_at=1), request(), request())
    assert all("error in forwardAsync function: " in each.error_msg for each in told)


@trap(
    "shutdown with open work lasts until the work is done; calls after it raise RuntimeError; a "
    "blocked await wakes with []"
)
def _(folder: Path) -> None:
    engine = executor(folder, step_s=0.1)
    engine.enqueue_requests([request()])
    started_s = time.monotonic()
    engine.shutdown()
    assert time.monotonic() - started_s > 0.15
    assert not engine.can_enqueue_requests()
    for call in (lambda: engine.enqueue_requests([request()]), engine.await_responses):
        assert "Shutdown called" in refused(RuntimeError, call)
    other = executor(folder / "other")
    heard: list[Any] = []
    waiting = threading.Thread(target=lambda: heard.append(other.await_responses()))
    waiting.start()
    time.sleep(0.1)
    other.shutdown()
    waiting.join(5.0)
    assert heard == [[]]


@trap("after __exit__ the object must not be used")
def _(folder: Path) -> None:
    with executor(folder) as engine:
        pass
    refused(RuntimeError, engine.get_latest_iteration_stats)


@trap("request ids start at 1; a response can be ready before enqueue returns")
def _(folder: Path) -> None:
    engine = executor(folder, late=True)
    assert engine.enqueue_requests([request(), request()]) == [1, 2]
    assert engine.await_responses(timeout=timedelta(0)) != []


@trap("get_latest_iteration_stats drains")
def _(folder: Path) -> None:
    engine = executor(folder)
    responses(engine, request())
    assert [each.iter for each in engine.get_latest_iteration_stats()] == [1, 2, 3]
    assert engine.get_latest_iteration_stats() == []


@trap("error texts have several lines (stack trace); the first line says what happened")
def _(folder: Path) -> None:
    config = W.ExecutorConfig(max_batch_size=9)
    first, *stack = refused(RuntimeError, lambda: executor(folder, config=config)).splitlines()
    assert "Runtime configured max batch size (9) must not exceed engine max" in first
    assert stack


@trap("importing the package prints a version line on stdout and initialises MPI")
def _(folder: Path) -> None:
    def imported(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "import tensorrt_llm.bindings.executor"],
            env={"PYTHONPATH": f"{ROOT / 'tests' / 'contract' / 'doubles'}:{ROOT}", **more},
            capture_output=True,
            text=True,
            check=False,
        )

    assert imported().stdout == "[TensorRT-LLM] TensorRT-LLM version: 1.2.1\n"
    assert "PMIX_RANK" in imported(PMIX_RANK="0").stderr


def test_every_trap_of_the_facts_is_laid() -> None:
    assert sorted(TRAPS) == sorted(FACTS["double_traps"])


@pytest.mark.parametrize("sentence", TRAPS)
def test_a_trap_holds(sentence: str, tmp_path: Path) -> None:
    TRAPS[sentence](tmp_path)
