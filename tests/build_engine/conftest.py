"""A store of its own for each test, and a tiny engine in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.progress import NullProgress
from build_engine.store.engine import Engine
from build_engine.store.spec import EngineSpec
from build_engine.store.store import EngineStore
from tests.build_engine.specs import tiny_spec, write_engine


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Digests are remembered below the test's folder."""
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))


@pytest.fixture
def store(tmp_path: Path, own_cache: None) -> EngineStore:
    return EngineStore(tmp_path / "store")


@pytest.fixture
def spec(tmp_path: Path, own_cache: None) -> EngineSpec:
    return tiny_spec(tmp_path / "tiny")


@pytest.fixture
def engine(store: EngineStore, spec: EngineSpec) -> Engine:
    return store.get_or_build(spec, write_engine, NullProgress())
