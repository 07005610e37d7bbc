"""Sizes that are chosen for a GPU and a workload, each with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from build_engine.checkpoint.known import resolve_architecture
from build_engine.recipe import load_recipe
from build_engine.roofline.work import Lengths
from build_engine.sized import GIVEN, Sized
from build_engine.store.limits import EngineLimits
from build_engine.target import load_target
from build_engine.trtllm.fit import fitted

LLAMA = resolve_architecture("llama3.1-8b").config
LIMITS = EngineLimits(max_input_len=2540, max_seq_len=2668)
NEWS = Lengths(prompt=870.6, answer=128, longest_prompt=2540)


def chosen(
    recipe: str,
    target: str = "a30",
    lengths: Lengths | None = NEWS,
    *,
    profile: str = "throughput",
    batch: int | None = None,
    parts: int = 1,
) -> Sized:
    asked = replace(LIMITS, tensor_parallel=parts)
    if batch is not None:
        asked = replace(asked, max_batch_size=batch)
    given = batch is not None
    rules, gpu = load_recipe(recipe), load_target(target)
    return fitted(asked, LLAMA, rules, gpu, profile, given, lengths)


def test_the_batch_is_what_fits_of_mean_requests() -> None:
    def batch(mean: float | None) -> int:
        lengths = None if mean is None else replace(NEWS, prompt=mean - 128)
        return chosen("int8_sq", lengths=lengths).limits.max_batch_size

    assert batch(998.6) == pytest.approx(224, abs=8)  # by hand, with 2 GB kept back
    assert batch(2668.0) < batch(None) < batch(998.6)


def test_on_a_small_gpu_memory_decides_and_says_so() -> None:
    found = chosen("bf16")
    assert (found.limits.max_batch_size, found.limits.max_num_tokens) == (64, 2048)
    assert "as many of mean length (999 tokens) fit into a KV cache of 8.6 GB" in (
        found.why.max_batch_size
    )
    assert "read in chunks" in found.why.max_num_tokens


def test_a_prompt_that_cannot_be_chunked_decides_the_iteration() -> None:
    found = chosen("int8_sq")
    assert found.limits.max_num_tokens == 2560
    assert "excludes chunked context" in found.why.max_num_tokens


def test_on_a_large_gpu_the_iteration_grows_until_prompts_keep_up() -> None:
    found = chosen("bf16", "h200-sxm")
    tokens, batch = found.limits.max_num_tokens, found.limits.max_batch_size
    steady = 1 + NEWS.prompt / NEWS.answer
    assert 2048 < tokens <= 8192 and tokens % 64 == 0
    assert batch * steady <= tokens < (batch + 16) * steady
    assert "7.8 for each request in flight" in found.why.max_num_tokens


def test_requests_without_end_stop_at_the_iteration() -> None:
    found = chosen("fp8", "h200-sxm")
    assert found.limits.max_num_tokens == 8192
    assert "would not be read in iterations of 8,192 tokens" in found.why.max_batch_size
    short = Lengths(prompt=8.0, answer=128, longest_prompt=2540)
    assert chosen("fp8", "h200-sxm", short).limits.max_batch_size == 2048


def test_more_gpus_hold_more_requests() -> None:
    one, two = (chosen("bf16", parts=parts).limits.max_batch_size for parts in (1, 2))
    assert two > 2 * one


def test_what_is_given_stays_and_the_iteration_follows() -> None:
    found = chosen("bf16", batch=512)
    assert found.limits.max_batch_size == 512
    assert 512 * 7.8 <= found.limits.max_num_tokens < 512 * 7.8 + 64
    assert found.why.max_batch_size == GIVEN


def test_latency_is_one_request_and_a_whole_prompt() -> None:
    found = chosen("bf16", profile="latency")
    assert (found.limits.max_batch_size, found.limits.max_num_tokens) == (1, 2560)
    assert "one request at a time" in found.why.max_batch_size
    assert chosen("bf16", profile="latency", batch=4).limits.max_batch_size == 4
