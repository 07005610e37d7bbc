"""A test cannot reach the developer's cache, nor can what it starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from build_engine.paths import cache_root


@pytest.fixture(scope="module")
def root_of_a_module() -> Path:
    return cache_root()


def test_a_test_has_a_cache_of_its_own(tmp_path: Path) -> None:
    assert cache_root() == tmp_path / "home"
    program = "from build_engine.paths import cache_root; print(cache_root())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == str(tmp_path / "home")


def test_what_tests_share_has_another(root_of_a_module: Path, shared_cache: Path) -> None:
    assert root_of_a_module == shared_cache != cache_root()


def test_taking_back_what_a_test_changed_does_not_lead_home(
    monkeypatch: pytest.MonkeyPatch, shared_cache: Path
) -> None:
    monkeypatch.undo()
    assert cache_root() == shared_cache
