"""Architectures without weights."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from build_engine.checkpoint.known import (
    known_model_names,
    load_known_model,
    resolve_architecture,
)
from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.errors import CheckpointError, UnknownName
from newsbrief import CHECKPOINT


def test_the_bundled_model_is_the_checkpoint() -> None:
    assert resolve_architecture("newsbrief").config == resolve_checkpoint("newsbrief").config


def test_a_folder_needs_its_config_alone(tmp_path: Path) -> None:
    shutil.copy(CHECKPOINT / "config.json", tmp_path)
    found = resolve_architecture(str(tmp_path))
    assert found.name == tmp_path.name
    assert found.config.hidden_size == 256
    (tmp_path / "config.json").unlink()
    with pytest.raises(CheckpointError, match=r"has no config\.json.*give a folder with one"):
        resolve_architecture(str(tmp_path))


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    said = json.loads((CHECKPOINT / "config.json").read_text("utf-8")) | {"model_type": "qwen2"}
    (tmp_path / "config.json").write_text(json.dumps(said), "utf-8")
    with pytest.raises(CheckpointError, match="choose a Llama"):
        resolve_architecture(str(tmp_path))


@pytest.mark.parametrize("name", known_model_names())
def test_a_known_model_has_a_name_and_ids(name: str) -> None:
    model = load_known_model(name)
    found = resolve_architecture(name)
    assert found.config.vocab_size == model.dimensions.vocab_size
    assert all(resolve_architecture(hub) == found for hub in model.hub)


def test_an_unknown_name_is_told_what_would_do() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean `llama3.1-8b`.*a folder with a config"):
        resolve_architecture("llama3.1-8")
