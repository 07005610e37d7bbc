"""Removing takes one engine and nothing that lies outside the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import EngineError
from build_engine.progress import NullProgress
from build_engine.store.engine import Engine
from build_engine.store.spec import EngineSpec
from build_engine.store.store import EngineStore
from tests.build_engine.specs import entries, tiny_spec, write_engine


def test_removing_takes_empty_parents_and_nothing_else(
    store: EngineStore, engine: Engine, tmp_path: Path
) -> None:
    other = store.get_or_build(
        tiny_spec(tmp_path / "tiny", max_batch_size=8), write_engine, NullProgress()
    )
    store.remove(engine)
    assert store.list() == [other]
    store.remove(other)
    assert entries(store) == []
    assert store.top.is_dir()
    with pytest.raises(EngineError, match="already gone"):
        store.remove(other)


def test_removing_an_engine_that_is_a_link_removes_the_link(
    store: EngineStore, spec: EngineSpec, engine: Engine, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    engine.folder.rename(outside)
    engine.folder.symlink_to(outside)
    linked = store.find(spec)
    assert linked is not None
    store.remove(linked)
    assert entries(store) == []
    assert (outside / "engine.json").exists()
    assert (outside / "openvino_model.xml").exists()


def test_links_inside_an_engine_are_not_followed(
    store: EngineStore, engine: Engine, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    (engine.folder / "link").symlink_to(precious)
    store.remove(engine)
    assert (precious / "thesis.txt").read_text() == "years"


def test_an_engine_behind_a_link_out_of_the_store_is_not_removed(
    store: EngineStore, spec: EngineSpec, engine: Engine, tmp_path: Path
) -> None:
    outside = tmp_path / "other-disk"
    (store.top / "tiny").rename(outside)
    (store.top / "tiny").symlink_to(outside)
    linked = store.find(spec)
    assert linked is not None
    with pytest.raises(EngineError, match="is not in the store"):
        store.remove(linked)
    assert store.find(spec) == linked


@pytest.mark.parametrize("folder", ["", "tiny", "tiny/cpu", "../outside", "tiny/cpu/.."])
def test_only_engine_folders_of_the_store_are_removed(
    store: EngineStore, engine: Engine, folder: str
) -> None:
    before = entries(store)
    with pytest.raises(EngineError, match="is not in the store"):
        store.remove(Engine(store.top / folder, engine.manifest))
    assert entries(store) == before
