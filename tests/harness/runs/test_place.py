"""No output goes into what the project keeps or reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import UsageError
from build_engine.paths import KEPT, cache_root
from build_engine.store.manifest import write_manifest
from harness.runs.place import require_own_place
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.manifests import make_manifest
from tests.harness.runs.claims import claim


def engine(folder: Path) -> None:
    folder.mkdir()
    write_manifest(folder, make_manifest())


def checkpoint(folder: Path) -> None:
    write_checkpoint(folder)


def damaged_checkpoint(folder: Path) -> None:
    write_checkpoint(folder, num_shards=2)
    (folder / "model.safetensors.index.json").write_text("{")


def run(folder: Path) -> None:
    claim(folder)
    write_manifest(folder, make_manifest())  # a run keeps its engine's


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (engine, "an engine"),
        (checkpoint, "a checkpoint"),
        (damaged_checkpoint, "a checkpoint"),
        (run, "another run"),
    ],
)
def test_nothing_is_written_into_what_is_something_else(
    tmp_path: Path, make: object, what: str
) -> None:
    assert callable(make)
    make(tmp_path / "it")
    require_own_place(tmp_path / "beside")
    require_own_place(tmp_path / "it-too" / "below")
    (tmp_path / "link").symlink_to(tmp_path / "it")
    for place in ("it/new", "it/new/deeper", "link/new", "beside/../it/new"):
        with pytest.raises(UsageError, match=rf"lies in {what}, .*/it; choose another place\.$"):
            require_own_place(tmp_path / place)


def test_a_run_that_is_there_is_not_called_an_engine(tmp_path: Path) -> None:
    run(tmp_path / "run")
    require_own_place(tmp_path / "run")  # whether there may be another is for others to say


@pytest.mark.parametrize("name", KEPT)
def test_nothing_is_written_into_our_own_cache(name: str) -> None:
    with pytest.raises(UsageError, match="lies in enginebench's own cache"):
        require_own_place(cache_root() / name / "run")
    require_own_place(cache_root() / "results" / name)


def test_nothing_is_written_into_the_dataset_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "cnn").mkdir()
    (tmp_path / "news.jsonl").touch()
    with pytest.raises(UsageError, match="lies in the dataset"):
        require_own_place(tmp_path / "cnn" / "run", str(tmp_path / "cnn"))
    require_own_place(tmp_path / "run", str(tmp_path / "news.jsonl"))
    require_own_place(tmp_path / "run", "cnn_dailymail")
