"""A checkpoint is a folder, a hub id or the bundled name, and a wrong name is explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.checkpoint.resolve import resolve_checkpoint, resolve_tokenizer
from build_engine.errors import CheckpointError, UnknownName
from tests.build_engine.checkpoints import write_checkpoint


def test_a_folder(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    checkpoint = resolve_checkpoint(str(folder))
    assert (checkpoint.name, checkpoint.folder) == ("tiny", folder)


def test_unknown_name_and_missing_folder() -> None:
    with pytest.raises(UnknownName, match="Did you mean `newsbrief`"):
        resolve_checkpoint("newsbrif")
    with pytest.raises(CheckpointError, match=r"no checkpoint folder \.?/?nowhere/at/all"):
        resolve_checkpoint("./nowhere/at/all")
    with pytest.raises(CheckpointError, match="no checkpoint folder ~nobody-here/model"):
        resolve_checkpoint("~nobody-here/model")


def test_bundled_checkpoint() -> None:
    checkpoint = resolve_checkpoint("newsbrief")
    assert (checkpoint.name, checkpoint.config.vocab_size) == ("newsbrief", 4096)


def test_a_tokenizer_is_found_without_the_weights(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "tiny")
    (folder / "model.safetensors").unlink()
    assert resolve_tokenizer(str(folder)) == folder
    assert resolve_tokenizer("newsbrief") == resolve_checkpoint("newsbrief").folder
    with pytest.raises(CheckpointError, match="There is no checkpoint folder"):
        resolve_tokenizer("no/such/folder")


@pytest.mark.parametrize("name", ["runs/run--3", "foo/bar.git", "foo/bär", "models/llama-"])
def test_a_name_that_is_no_folder_and_no_hub_id(name: str) -> None:
    for resolve in (resolve_checkpoint, resolve_tokenizer):
        with pytest.raises(CheckpointError, match=f"There is no folder {name}, and .* has no mod"):
            resolve(name)
