"""End-to-end tests share one cache, so that each engine of the bundled model is built once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def own_cache(shared_cache: Path) -> None:
    """Takes the place of a cache for each test."""
