"""Sizes that cannot be, and what to lower."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from build_engine.checkpoint.known import resolve_architecture
from build_engine.errors import ConfigError
from build_engine.recipe import load_recipe
from build_engine.roofline.memory import Elements, cache_room, requests_in
from build_engine.store.limits import EngineLimits
from build_engine.target import load_target
from build_engine.trtllm.sizes import cache_share, device_bytes, estimate, require_sizes, storage

LLAMA = resolve_architecture("llama3.1-8b").config
LIMITS = EngineLimits(max_input_len=2540, max_seq_len=2668)


def refused(recipe: str, target: str, limits: EngineLimits, **changed: float) -> str:
    gpu = load_target(target).model_copy(update=changed)
    with pytest.raises(ConfigError) as caught:
        require_sizes(LLAMA, load_recipe(recipe), limits, gpu)
    return str(caught.value)


def lowered(sentence: str, option: str) -> int:
    """To what a refusal says that a size must be lowered."""
    found = re.search(rf"lower {option} by ([\d,]+) to (\d+)[,;. ]", sentence)
    assert found is not None, sentence
    return int(found[2])


def test_a_size_that_cannot_fit_is_told_by_how_much_to_lower_it() -> None:
    recipe, target = load_recipe("bf16"), load_target("a30")
    asked = replace(LIMITS, max_batch_size=20_000)
    sentence = refused("bf16", "a30", asked)
    assert re.search(r"lower --max-batch-size by [\d,]+ to \d+, or", sentence)
    most = lowered(sentence, "--max-batch-size")
    require_sizes(LLAMA, recipe, replace(asked, max_batch_size=most), target)
    refused("bf16", "a30", replace(asked, max_batch_size=most + 1))
    long = replace(asked, max_batch_size=1, max_input_len=100_000, max_seq_len=100_128)
    sentence = refused("bf16", "a30", long)
    assert re.search(r"lower --max-input-len by [\d,]+ to \d+, or", sentence)
    most = lowered(sentence, "--max-input-len")
    fitting = replace(long, max_input_len=most, max_seq_len=most + 128)
    require_sizes(LLAMA, recipe, fitting, target)
    refused("bf16", "a30", replace(long, max_input_len=most + 1, max_seq_len=most + 129))


def test_an_iteration_that_is_too_large_is_told_too() -> None:
    asked = replace(LIMITS, max_num_tokens=2**18)
    most = lowered(refused("bf16", "a30", asked), "--max-num-tokens")
    require_sizes(
        LLAMA, load_recipe("bf16"), replace(asked, max_num_tokens=most), load_target("a30")
    )


def test_weights_that_are_too_large_name_recipes_and_gpus_with_which_they_fit() -> None:
    sentence = refused("bf16", "a30", LIMITS, memory_gib=14.0)
    assert re.match(r"`bf16` needs about 1\d\.\d GB of GPU memory for one request", sentence)
    assert "(weights 16.1 GB, activations " in sentence and "`a30` has 15.0 GB; " in sentence
    assert "take a recipe that fits (`int4_awq`, `int4_wo`, `int8_sq`" in sentence
    assert "`fp8`" not in sentence  # no A30 has it
    assert sentence.endswith(
        "or have other programs execute it on several GPUs (`build --tensor-parallel 2`)."
    )
    assert "lower" not in sentence


def test_what_fits_by_nothing_names_another_target() -> None:
    assert refused("int4_wo", "a30", LIMITS, memory_gib=0.5).endswith(
        "choose a target with more memory."
    )


def test_a_prompt_that_is_read_at_once_keeps_its_iteration() -> None:
    asked = replace(LIMITS, max_input_len=2**17, max_seq_len=2**17 + 128, max_num_tokens=2**17)
    sentence = refused("int8_sq", "a30", asked)
    assert "lower --max-num-tokens" not in sentence  # the prompt would not fit in
    assert "lower --max-input-len" in sentence


def test_an_iteration_holds_a_page() -> None:
    sentence = refused("bf16", "a30", replace(LIMITS, max_num_tokens=31))
    assert "less than a page of the KV cache" in sentence and "give 32 or more" in sentence
    require_sizes(
        LLAMA, load_recipe("bf16"), replace(LIMITS, max_num_tokens=32), load_target("a30")
    )


@pytest.mark.parametrize("memory_gib", [16.0, 16.2, 16.5, 17.0, 24.0])
def test_what_is_refused_is_what_a_plan_finds_no_room_for(memory_gib: float) -> None:
    recipe = load_recipe("bf16")
    target = load_target("a30").model_copy(update={"memory_gib": memory_gib})
    stored = storage(recipe, LLAMA)
    room = cache_room(device_bytes(target), estimate(LLAMA, recipe, LIMITS), stored)
    if requests_in(room, Elements.of(LLAMA), stored, LIMITS.max_seq_len):
        require_sizes(LLAMA, recipe, LIMITS, target)
    else:
        assert refused("bf16", "a30", LIMITS, memory_gib=memory_gib)


@pytest.mark.parametrize(("target", "share"), [("a30", 0.90), ("h200-sxm", 0.95)])
def test_what_the_runtime_needs_does_not_grow_with_the_gpu(target: str, share: float) -> None:
    found = cache_share(LLAMA, load_recipe("bf16"), LIMITS, load_target(target))
    assert found == share
