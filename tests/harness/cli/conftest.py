"""A command line, a tiny checkpoint, articles and a stored engine, in a folder of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.backend import BACKENDS, backend
from tests.build_engine.checkpoints import write_checkpoint
from tests.harness.cli.line import Line
from tests.harness.cli.told import commands_told

__all__ = ["commands_told"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(capsys)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "tiny")


@pytest.fixture
def news(tmp_path: Path) -> Path:
    path = tmp_path / "news.jsonl"
    rows = ({"article": f"Story {i} [b]x[/b].", "highlights": "Ü."} for i in range(4))
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture
def quick_builder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A builder that takes no time, and no trial; the store around it is real."""
    monkeypatch.setattr("runtime.trial.answer_one", lambda engine: None)
    quick = replace(backend("openvino"), compile="tests.build_engine.specs:write_engine")
    monkeypatch.setitem(BACKENDS, "openvino", quick)


@pytest.fixture
def engine(line: Line, tiny: Path, quick_builder: None) -> dict[str, Any]:
    """The manifest of a stored engine."""
    said = line("build", "--model", tiny, "--recipe", "int8_wo", "--json")
    assert said.code == 0
    manifest: dict[str, Any] = said.document
    return manifest
