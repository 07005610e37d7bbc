"""No test touches the developer's cache: each has its own, and so has what several share."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For fixtures of a wider scope than one test: what they build is built once."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINEBENCH_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For one test: `home` below its folder."""
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Lines are not counted in tests that ask for that. pytest-cov's own mark does nothing in the
    processes of pytest-xdist, where two counts lie on top of each other.
    """
    counting = sys.gettrace()
    if item.get_closest_marker("not_counted"):
        sys.settrace(None)
    try:
        yield
    finally:
        sys.settrace(counting)
