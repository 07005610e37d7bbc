"""Memory: against the layout of a checkpoint, by hand, and what must hold whatever the model."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build_engine.checkpoint.known import resolve_architecture
from build_engine.openvino.sizes import storage as stored_on_cpu
from build_engine.recipe import load_recipe
from build_engine.roofline.memory import (
    Elements,
    Weights,
    cache_room,
    checkpoint_bytes,
    estimate,
    requests_in,
)
from build_engine.store.limits import EngineLimits
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.layout import tensors
from build_engine.trtllm.sizes import build_needs, storage

LLAMA = resolve_architecture("llama3.1-8b").config
LIMITS = EngineLimits(max_input_len=2540, max_seq_len=2668)
_BYTES = {"BF16": 2, "F16": 2, "I8": 1, "F8_E4M3": 1, "F32": 4}


def test_the_elements_of_llama() -> None:
    found = Elements.of(LLAMA)
    assert found.linear == 6_979_321_856
    assert found.table == 128256 * 4096
    assert found.kv_token == 2 * 32 * 8 * 128
    assert checkpoint_bytes(LLAMA) == 16_060_522_496  # the files' own total_size


@pytest.mark.parametrize("recipe", ["bf16", "fp16", "int8_sq", "int8_sq_static", "int4_awq", "fp8"])
def test_weights_are_those_of_the_checkpoint_that_is_written(recipe: str) -> None:
    rules = load_recipe(recipe)
    written = sum(
        math.prod(spec.shape) * _BYTES[spec.dtype]
        for spec in tensors(LLAMA, format_of(rules)).values()
    )
    reckoned = Weights.of(Elements.of(LLAMA), storage(rules, LLAMA)).resident
    # a group's scale has 32 bits in the checkpoint, and 16 in the engine
    assert reckoned == pytest.approx(written, rel=0.02 if recipe == "int4_awq" else 0.001)


def test_a_tied_head_is_kept_once_on_a_cpu_and_twice_on_a_gpu() -> None:
    tied = resolve_architecture("newsbrief").config
    rules = load_recipe("int8_wo")
    on_cpu, on_gpu = (
        Weights.of(Elements.of(tied), how(rules, tied)) for how in (stored_on_cpu, storage)
    )
    assert (on_cpu.embedding, on_cpu.head) == (0, 4096 * 256)
    assert on_gpu.embedding == on_gpu.head == 4096 * 256 * 2


def test_what_remains_is_the_cache() -> None:
    rules = load_recipe("int8_sq")
    stored, elements = storage(rules, LLAMA), Elements.of(LLAMA)
    needed = estimate(LLAMA, stored, LIMITS)
    free = 24 * 2**30 - needed.weights - needed.activations
    room = cache_room(24 * 2**30, needed, stored)
    assert room == int(0.9 * free)
    assert needed.kv_request == 65_536 * 2668
    assert requests_in(room, elements, stored, 2668) == room // needed.kv_request
    assert cache_room(needed.weights, needed, stored) == 0


def test_two_devices_share_weights_and_cache() -> None:
    stored = storage(load_recipe("bf16"), LLAMA)
    one, two = (estimate(LLAMA, stored, replace(LIMITS, tensor_parallel=n)) for n in (1, 2))
    assert (two.weights, two.kv_request) == (one.weights // 2, one.kv_request // 2)


def test_only_calibration_needs_the_whole_model() -> None:
    calibrated, copied = (
        build_needs(LLAMA, load_recipe(recipe), LIMITS) for recipe in ("int8_sq", "int8_wo")
    )
    assert calibrated.quantise_device == calibrated.quantise_host == checkpoint_bytes(LLAMA)
    assert (copied.quantise_device, copied.quantise_host) == (0, 128256 * 4096 * 2)
    assert calibrated.build_host == calibrated.disk == copied.disk


SIZES = st.integers(1, 2**14)


@given(SIZES, SIZES, st.integers(1, 2**45), st.integers(1, 2**45))
def test_more_memory_never_holds_less(batch: int, tokens: int, small: int, more: int) -> None:
    stored, elements = storage(load_recipe("int8_sq"), LLAMA), Elements.of(LLAMA)
    limits = replace(LIMITS, max_batch_size=batch, max_num_tokens=tokens)
    needed = estimate(LLAMA, stored, limits)
    less, enough = (cache_room(size, needed, stored) for size in (small, small + more))
    assert 0 <= less <= enough
    assert 0 <= requests_in(less, elements, stored, 999) <= requests_in(enough, elements, stored, 1)
