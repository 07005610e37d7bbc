"""An engine from another machine: found, or fetched once and kept only whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from build_engine.errors import EngineError
from build_engine.store import received as module
from build_engine.store.engine import Engine
from build_engine.store.received import Offer, Read, read_part, received
from build_engine.store.store import EngineStore


def from_elsewhere(engine: Engine, folder: Path) -> tuple[Offer, Read]:
    """An offer of an engine that lies where this machine does not see it, and how it is read."""
    offer = Offer.of(engine)
    moved = folder / "elsewhere"
    shutil.move(engine.folder, moved)
    return offer, lambda name, offset: read_part(moved, name, offset)


def never(name: str, offset: int) -> bytes:
    raise AssertionError(f"{name} was fetched from {offset} on")


def test_what_is_on_this_machine_is_not_fetched(
    engine: Engine, store: EngineStore, tmp_path: Path
) -> None:
    offer = Offer.of(engine)
    assert received(EngineStore(tmp_path / "other"), offer, never).folder == engine.folder
    assert not (tmp_path / "other").exists()
    shutil.move(engine.folder, tmp_path / "elsewhere")
    assert offer.found(store) is None
    shutil.copytree(tmp_path / "elsewhere", engine.folder)
    assert received(store, offer, never).key == engine.key


def test_it_is_fetched_in_parts_once_and_is_the_same_engine(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PART_BYTES", 3)
    offer, read = from_elsewhere(engine, tmp_path)
    other = EngineStore(tmp_path / "other")
    got = received(other, offer, read)
    assert got.manifest == engine.manifest
    assert got.folder == other.top / engine.folder.relative_to(engine.folder.parents[2])
    assert other.verify(got) == []
    assert received(other, offer, never) == got


@pytest.mark.parametrize("sent", [b"", b"something else"])
def test_a_damaged_copy_is_refused_and_leaves_nothing(
    engine: Engine, tmp_path: Path, sent: bytes
) -> None:
    offer, _ = from_elsewhere(engine, tmp_path)
    other = EngineStore(tmp_path / "other")
    told = (
        r"^The copy of the engine `tiny/cpu/.*` that came is damaged: .* Run `enginebench engines"
    )
    with pytest.raises(EngineError, match=told):
        received(other, offer, lambda name, offset: b"" if offset else sent)
    assert list(other.folders()) == []


def test_an_offer_of_another_engine_than_its_manifest_is_refused(
    engine: Engine, tmp_path: Path
) -> None:
    offer, read = from_elsewhere(engine, tmp_path)
    false = Offer("0" * 64, offer.manifest, offer.folder, offer.place)
    with pytest.raises(EngineError, match="its manifest has another key"):
        received(EngineStore(tmp_path / "other"), false, read)


def test_nothing_but_the_files_of_the_engine_is_read_for_others(engine: Engine) -> None:
    with pytest.raises(EngineError, match=r"`\.\./secret` is no file of the engine"):
        read_part(engine.folder, "../secret", 0)
