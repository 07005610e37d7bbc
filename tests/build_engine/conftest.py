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
def store(tmp_path: Path) -> EngineStore:
    return EngineStore(tmp_path / "store")


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    return tiny_spec(tmp_path / "tiny")


@pytest.fixture
def engine(store: EngineStore, spec: EngineSpec) -> Engine:
    return store.get_or_build(spec, write_engine, NullProgress())
