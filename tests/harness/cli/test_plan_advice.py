"""`enginebench plan`: what it says beside its figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from newsbrief import CHECKPOINT
from tests.harness.cli.line import Line

LLAMA = ("plan", "--model", "llama3.1-8b")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """The architecture of a model that fits an A30 in 8 bits, and in 16 does not."""
    config = json.loads((CHECKPOINT / "config.json").read_text("utf-8"))
    config |= {
        "hidden_size": 5120,
        "intermediate_size": 13824,
        "num_hidden_layers": 40,
        "num_attention_heads": 40,
        "num_key_value_heads": 40,
        "vocab_size": 32000,
        "tie_word_embeddings": False,
        "max_position_embeddings": 4096,
    }
    config.pop("head_dim", None)
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    return tmp_path


def test_what_is_not_quantised_on_its_target_is_quantised_first(line: Line, large: Path) -> None:
    plan = ("plan", "--model", large, "--target")
    said = line(*plan, "a30", "--recipe", "int8_sq", "--json")
    assert said.code == 0 and not said.document["plans"][0]["memory"]["quantises"]
    assert (
        "To quantise: 26.0 GB of the GPU (does not fit; with it hidden, 52.1 GB of host memory"
    ) in said.err
    first, last = said.err.splitlines()[-2:]
    assert "quantise it first, with the GPU hidden, where 52.1 GB of host memory are free" in first
    assert "CUDA_VISIBLE_DEVICES= enginebench build " in first
    assert first.endswith(f"{last.partition(' build ')[2]} --stage quantise")
    several = line(*plan, "a30,l40s", "--recipe", "int8_sq,int8_wo").err
    rows = [text.split("  ")[0] for text in several.splitlines() if text.startswith("int8")]
    assert rows == [
        *("int8_sq *", "int8_sq, kv_cache=fp16 *", "int8_wo"),
        *("int8_sq", "int8_sq, kv_cache=fp16", "int8_wo"),
    ]
    assert several.count("\n* `int8_sq` is not quantised on `a30`: that takes 26.0 GB of ") == 1
    assert "quantise it first" not in line(*plan, "a30", "--recipe", "int8_wo").err


def test_a_mean_that_is_cut_is_told(line: Line) -> None:
    few = ("--target", "a30", "--recipe", "int8_sq,int8_wo", "--set", "workload.max_input_tokens=")
    said = line(*LLAMA, *few[:-1], f"{few[-1]}100")
    assert said.code == 0
    told = "Prompts of workload llama3.1-8b have 870.6 tokens on average, and here none may have "
    assert said.err.count(f"{told}more than 100: this is for a mean of 100; `--set ") == 1
    assert told not in line(*LLAMA, *few[:-1], f"{few[-1]}871").err
