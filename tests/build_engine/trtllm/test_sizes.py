"""Sizes that are chosen for a GPU, and sizes that cannot be."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from build_engine.checkpoint.known import resolve_architecture
from build_engine.errors import ConfigError
from build_engine.recipe import load_recipe
from build_engine.store.limits import EngineLimits
from build_engine.target import load_target
from build_engine.trtllm.sizes import fitted, require_sizes


def test_the_batch_is_what_fits_of_mean_requests() -> None:
    llama = resolve_architecture("llama3.1-8b").config
    asked = EngineLimits(max_input_len=2540, max_seq_len=2668)
    recipe, target = load_recipe("int8_sq"), load_target("a30")

    def batch(mean: float | None) -> int:
        return fitted(asked, llama, recipe, target, "throughput", False, mean).max_batch_size

    assert batch(998.6) == pytest.approx(224, abs=8)  # by hand, with 2 GB kept back
    assert batch(2668.0) < batch(None) < batch(998.6)


def test_a_size_that_cannot_fit_is_told_by_how_much_to_lower_it() -> None:
    llama = resolve_architecture("llama3.1-8b").config
    recipe, target = load_recipe("bf16"), load_target("a30")
    asked = EngineLimits(max_input_len=2540, max_seq_len=2668, max_batch_size=20_000)
    with pytest.raises(ConfigError, match=r"lower --max-batch-size by [\d,]+ to \d+, or") as caught:
        require_sizes(llama, recipe, asked, target)
    most = re.search(r"to (\d+), or", str(caught.value))
    assert most is not None
    require_sizes(llama, recipe, replace(asked, max_batch_size=int(most[1])), target)
    long = replace(asked, max_batch_size=1, max_input_len=100_000, max_seq_len=100_128)
    with pytest.raises(ConfigError, match=r"lower --max-input-len by [\d,]+ to \d+, or") as caught:
        require_sizes(llama, recipe, long, target)
    most = re.search(r"to (\d+), or", str(caught.value))
    assert most is not None
    fitting = replace(long, max_input_len=int(most[1]), max_seq_len=int(most[1]) + 128)
    require_sizes(llama, recipe, fitting, target)
