"""A cluster of two hosts with an engine in the store of the first, or why there is none."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import enginebench
from tests.cluster.hosts import Host, NotPermitted, ray_cluster


@pytest.fixture(scope="session")
def engine_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the engine of the bundled model, and its dataset."""
    home = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINEBENCH_HOME", str(home))
        enginebench.build("newsbrief", "int8_wo", max_input_len=640, max_new_tokens=128)
    return home


@pytest.fixture
def cluster(engine_store: Path, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Its head, and the other host, which has no engine yet."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("Ray is not installed (the extra `ray`)")
    try:
        with ray_cluster(tmp_path) as (a, b):
            shutil.copytree(engine_store, a.home, dirs_exist_ok=True)
            yield a, b
    except NotPermitted as reason:
        pytest.skip(f"No network namespaces here: {reason}")
