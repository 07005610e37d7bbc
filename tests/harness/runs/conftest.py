"""A choice of an engine and a run, and a builder that takes no time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from build_engine.backend import BACKENDS, backend
from build_engine.store.spec import EngineSpec
from tests.build_engine import specs
from tests.harness.runs.choices import Choice, good_choice


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[EngineSpec]:
    """The specs that a builder was given; it takes no time."""
    specs.BUILT.clear()
    monkeypatch.setattr("runtime.trial.answer_one", lambda engine: None)
    noting = replace(backend("openvino"), compile="tests.build_engine.specs:note_and_write")
    monkeypatch.setitem(BACKENDS, "openvino", noting)
    return specs.BUILT


@pytest.fixture
def choice(tmp_path: Path) -> Choice:
    """A good one: tests change one thing."""
    return good_choice(tmp_path)
