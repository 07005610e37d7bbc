"""The lengths of prompt and answer are the user's, and what a model cannot hold is told by them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build_engine.errors import ConfigError, RecipeRefused
from build_engine.openvino.quantise import fitting_group_size
from build_engine.recipe import load_recipe
from harness.progress import NullProgress
from harness.rules.workload import load_workload
from harness.runs.engine_choice import EngineChoice
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.specs import CONFIG


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(write_checkpoint(tmp_path / "tiny", config={"max_position_embeddings": 512}))


@pytest.mark.parametrize(("prompt", "answer"), [(401, 24), (24, 401), (488, 24), (511, 1)])
def test_any_split_of_the_positions_can_be_asked_for(model: str, prompt: int, answer: int) -> None:
    choice = EngineChoice(model=model, recipe="bf16", max_input_len=prompt, max_new_tokens=answer)
    limits = choice.spec(load_workload("newsbrief"), NullProgress()).limits
    assert (limits.max_input_len, limits.max_new_tokens) == (prompt, answer)


@pytest.mark.parametrize(
    ("prompt", "answer", "told"),
    [
        (5000, None, "A prompt of 5000 tokens .* and `tiny` has 512 .* --max-input-len 384 or"),
        (None, 5000, "an answer of 5000 .* give --max-new-tokens 128 or less"),
        (401, None, "are 529, .* give --max-input-len 384 or less, or --max-new-tokens 111 or"),
        (600, 600, "give 512 or less for both together"),
        (0, None, "--max-input-len is 0; give 1 or more"),
        (None, 0, "--max-new-tokens is 0; give 1 or more"),
        (None, -5, "--max-new-tokens is -5; give 1 or more"),
    ],
)
def test_lengths_that_do_not_fit_are_told_by_their_options(
    model: str, prompt: int | None, answer: int | None, told: str
) -> None:
    choice = EngineChoice(model=model, recipe="bf16", max_input_len=prompt, max_new_tokens=answer)
    with pytest.raises(ConfigError, match=told):
        choice.spec(load_workload("newsbrief"), NullProgress())


@pytest.mark.parametrize(
    ("size", "told"),
    [
        (7, "has recipe.group_size 7, and .* groups of at least 32 weights; give 32 or more"),
        (48, r"has recipe.group_size 48, and neither .*hidden_size 64.*; give 64, or use"),
    ],
)
def test_a_group_size_is_refused_by_its_own_number(size: int, told: str) -> None:
    recipe = load_recipe("int4_wo").model_copy(update={"group_size": size})
    config = replace(CONFIG, hidden_size=64, num_heads=4, head_dim=16, intermediate_size=128)
    with pytest.raises(RecipeRefused, match=told):
        fitting_group_size(config, recipe)
