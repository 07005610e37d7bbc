"""Runs and a tree that nothing is wrong with, made once; tests break copies of them."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.rules.scenario import Scenario
from harness.submission.pack import PackRequest, pack
from harness.submission.tree import ORIGINALS
from tests.harness.submission.finished_runs import make_run

SYSTEM = """\
status: available
system_name: Example server
number_of_nodes: 1
host_processors_per_node: 2
host_processor_core_count: 32
host_memory_configuration: 16x 16GB DDR5-4800
host_storage_capacity: 2 TB
host_storage_type: NVMe SSD
host_networking: 25 GbE
host_networking_topology: N/A
host_network_card_count: 1x 25GbE
cooling: air
system_type: {system_type}
"""


@pytest.fixture(scope="session")
def sound_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Offline, Server and Interactive of llama3.1-8b."""
    top = tmp_path_factory.mktemp("runs")
    names: tuple[Scenario, ...] = (Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE)
    with ThreadPoolExecutor(len(names)) as pool:
        made = [pool.submit(make_run, top / name.lower(), "llama3.1-8b", name) for name in names]
        return {name: run.result().folder.path for name, run in zip(names, made, strict=True)}


@pytest.fixture(autouse=True)
def runs_that_went_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test says in run.json how else a run went, without the files of such a run. The sound runs
    are packed before, with all that is asked of them.
    """
    monkeypatch.setattr("harness.runs.integrity.contradictions", lambda *_: iter(()))


@pytest.fixture
def runs(sound_runs: dict[str, Path], tmp_path: Path) -> dict[str, Path]:
    """The same, to be broken. Big files are shared: a test that changes one replaces it."""
    for name, folder in sound_runs.items():
        shutil.copytree(folder, tmp_path / name.lower(), copy_function=os.link)
    return {name: tmp_path / name.lower() for name in sound_runs}


@pytest.fixture(scope="session")
def sound_tree(sound_runs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed submission of them."""
    top = tmp_path_factory.mktemp("submission")
    (top / "system.yaml").write_text(SYSTEM.format(system_type="datacenter"))
    request = PackRequest(
        runs=list(sound_runs.values()),
        submitter="ExampleOrg",
        system=top / "system.yaml",
        division="closed",
    )
    root = pack(request, top / "tree").root
    shutil.rmtree(root / "closed" / "ExampleOrg" / "src" / "enginebench")
    return root


@pytest.fixture
def tree(sound_tree: Path, tmp_path: Path) -> Path:
    """The same, to be broken; the whole accuracy logs beside it are shared."""
    shutil.copytree(sound_tree, tmp_path / "tree")
    beside = f"tree{ORIGINALS}"
    shutil.copytree(sound_tree.with_name(beside), tmp_path / beside, copy_function=os.link)
    return tmp_path / "tree"
