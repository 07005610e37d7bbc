"""An engine is built once, whatever happens at once and whoever is killed.

Run as a script, this file is one builder process: `<root> <checkpoint> <name>`.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import EngineError
from build_engine.progress import BuildProgress, NullProgress
from build_engine.store.engine import Engine
from build_engine.store.spec import BuildFacts, EngineSpec
from build_engine.store.store import EngineStore
from tests.build_engine.manifests import make_manifest
from tests.build_engine.specs import Notes, entries, tiny_spec, write_engine

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 60.0


@pytest.fixture
def spawn(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start builder processes by name; whatever is alive at the end of the test is killed."""
    processes: list[subprocess.Popen[str]] = []

    def start(name: str) -> subprocess.Popen[str]:
        command = [sys.executable, __file__, str(tmp_path / "store"), str(tmp_path / "tiny"), name]
        process = subprocess.Popen(
            command,
            env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0
    report: dict[str, Any] = json.loads(output.splitlines()[-1])
    return report


def test_of_two_processes_one_builds_and_the_other_waits_and_uses_the_result(
    spec: EngineSpec, tmp_path: Path, spawn: Callable[[str], subprocess.Popen[str]]
) -> None:
    root = tmp_path / "store"
    first = spawn("first")
    wait_for(root / "started-first")
    second = spawn("second")
    wait_for(root / "waiting-second")
    assert not (root / "started-second").exists()
    (root / "go").touch()
    reports = [finish(first), finish(second)]
    assert [report["key"] for report in reports] == [spec.key, spec.key]
    assert (root / "builds.log").read_text() == "first\n"
    assert reports[0]["notes"] == []
    assert reports[1]["notes"][0].startswith("Another process is building this engine; waiting")
    assert reports[1]["notes"][1].startswith("Using the engine that was built meanwhile")


def test_processes_that_start_together_build_once(
    store: EngineStore, spec: EngineSpec, tmp_path: Path, spawn: Callable[[str], Any]
) -> None:
    store.root.mkdir()
    (store.root / "go").touch()
    for process in [spawn("a"), spawn("b"), spawn("c")]:
        assert finish(process)["key"] == spec.key
    assert len((store.root / "builds.log").read_text().splitlines()) == 1
    assert store.verify(store.resolve(spec.key)) == []


def test_a_killed_builder_leaves_no_engine_and_the_next_build_clears_up(
    store: EngineStore, spec: EngineSpec, spawn: Callable[[str], subprocess.Popen[str]]
) -> None:
    process = spawn("first")
    wait_for(store.root / "started-first")
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=DEADLINE_S)
    assert f".building-{spec.key[:12]}-{process.pid}" in "\n".join(entries(store))
    assert store.find(spec) is None
    assert store.list() == []
    assert store.damaged() == {}
    told = Notes()
    assert store.verify(store.get_or_build(spec, write_engine, told)) == []
    assert ".building-" not in "\n".join(entries(store))
    assert [note.split(":")[0] for note in told.notes] == [
        "Removed the leftover of an interrupted build"
    ]


def test_the_waiting_process_builds_when_the_first_one_is_killed(
    store: EngineStore, spec: EngineSpec, spawn: Callable[[str], subprocess.Popen[str]]
) -> None:
    first = spawn("first")
    wait_for(store.root / "started-first")
    second = spawn("second")
    wait_for(store.root / "waiting-second")
    first.send_signal(signal.SIGKILL)
    (store.root / "go").touch()
    assert finish(second)["key"] == spec.key
    assert (store.root / "builds.log").read_text() == "first\nsecond\n"
    assert ".building-" not in "\n".join(entries(store))


def test_a_build_removes_dead_leftovers_of_other_engines_but_no_living_build(
    store: EngineStore,
    spec: EngineSpec,
    tmp_path: Path,
    spawn: Callable[[str], subprocess.Popen[str]],
) -> None:
    alive = spawn("alive")
    wait_for(store.root / "started-alive")
    dead = store.top / "gone" / "cpu" / ".building-0123456789ab-1"
    removed = store.top / "gone" / "cpu" / ".removing-ba9876543210-1"
    for leftover in (dead, removed):
        leftover.mkdir(parents=True)
        (leftover / "openvino_model.bin").write_text("half")
    other = tiny_spec(tmp_path / "tiny", max_batch_size=8)
    store.get_or_build(other, write_engine, NullProgress())
    assert not (store.top / "gone").exists()
    with pytest.raises(EngineError, match="is being built or removed by another process"):
        unfinished = make_manifest().model_copy(update={"key": spec.key})
        store.remove(Engine(store.top / spec.folder, unfinished))
    (store.root / "go").touch()
    assert finish(alive)["key"] == spec.key
    assert store.verify(store.resolve(spec.key)) == []


def run_builder(root: Path, checkpoint: Path, name: str) -> None:
    """One builder process: says by files how far it is, and goes on when `<root>/go` is there."""

    def build(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        facts = write_engine(spec, folder, progress)
        with (root / "builds.log").open("a") as log:
            log.write(f"{name}\n")
        (root / f"started-{name}").touch()
        wait_for(root / "go")
        return facts

    class Told(Notes):
        def note(self, text: str) -> None:
            super().note(text)
            if "waiting" in text:
                (root / f"waiting-{name}").touch()

    told = Told()
    engine = EngineStore(root).get_or_build(tiny_spec(checkpoint), build, told)
    sys.stdout.write(json.dumps({"key": engine.key, "notes": told.notes}) + "\n")


if __name__ == "__main__":
    run_builder(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
