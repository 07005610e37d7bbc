"""Makes the toy a backend: as an installed package does, in this process and all that it starts."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from build_engine.backend import ENTRY_POINTS as BUILDERS
from runtime.backend import ENTRY_POINTS as EXECUTORS
from tests.toy.worker import ANSWER

ROOT = Path(__file__).parents[2]


def install_toy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it in the new `folder`."""
    distribution = folder / "toy_backend-1.0.dist-info"
    distribution.mkdir(parents=True)
    (distribution / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: toy-backend\nVersion: 1.0\n"
    )
    (distribution / "entry_points.txt").write_text(
        f"[{BUILDERS}]\ntoy = tests.toy.builder:BACKEND\n"
        f"[{EXECUTORS}]\ntoy = tests.toy.executor:BACKEND\n"
    )
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(folder), str(ROOT))))


def write_toy(folder: Path, answer: list[int]) -> Path:
    """A toy engine."""
    folder.mkdir()
    (folder / ANSWER).write_text(json.dumps(answer))
    return folder
