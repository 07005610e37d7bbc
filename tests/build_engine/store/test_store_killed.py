"""Whoever is killed, and wherever: what is stored is whole, and the next one clears up.

Run as a script, this file is a process that kills children of its own at one step after the other:
`<folder> <what> <how>`.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.progress import BuildProgress, NullProgress
from build_engine.store.folders import Kept, KeyedFolders
from build_engine.store.quantised import CheckpointStore
from build_engine.store.store import EngineStore
from build_engine.trtllm.artefact import quantised_checkpoint
from tests.build_engine.specs import Notes, tiny_spec, write_engine
from tests.build_engine.trtllm.specs import gpu_spec, untied_checkpoint

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 300.0
_CHANGES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir")
_WRITES = os.O_WRONLY | os.O_RDWR


def report(folder: Path, what: str, how: str) -> dict[str, Any]:
    """What the script says."""
    command = [sys.executable, __file__, str(folder), what, how]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


@pytest.mark.parametrize(
    ("what", "how"),
    [("engine", "build"), ("engine", "rebuild"), ("engine", "remove"), ("checkpoint", "build")],
)
def test_killed_at_any_step_nothing_is_taken_for_what_it_is_not(
    tmp_path: Path, what: str, how: str
) -> None:
    said = report(tmp_path, what, how)
    assert said["wrong"] == []
    assert said["kills"] > 5
    assert said["leftovers"] > 0  # some were killed in the middle


@pytest.mark.parametrize("what", ["engine", "checkpoint"])
def test_killed_before_the_rename_the_one_that_waits_makes_it(tmp_path: Path, what: str) -> None:
    said = report(tmp_path, what, "wait")
    assert said["wrong"] == []
    assert said["notes"][0].startswith("Another process is ")
    assert said["notes"][1].startswith("Removed the leftover of an interrupted build: ")


@dataclass(frozen=True)
class Case:
    """Something to make, in a store."""

    store: KeyedFolders[Kept]
    make: Callable[[BuildProgress], Path]

    def wrong(self) -> Iterator[str]:
        """What a person would be told wrongly by the store, as it was left."""
        for folder in self.store.folders():
            if folder not in self.store.damaged():
                yield from self.store.verify(self.store.kind.load(folder))

    def hidden(self) -> list[Path]:
        """The leftovers."""
        paths = self.store.top.rglob(".*")
        return [path for path in paths if path.name.startswith((".building-", ".removing-"))]


def case(what: str, sources: Path, home: Path) -> Case:
    """Of a kind, in a store."""
    os.environ["ENGINEBENCH_HOME"] = str(home)
    if what == "engine":
        store, spec = EngineStore(home), tiny_spec(sources / "tiny")
        return Case(store, lambda told: store.get_or_build(spec, write_engine, told).folder)
    if (sources / "untied").exists():
        checkpoint = open_checkpoint(sources / "untied")
    else:
        checkpoint = untied_checkpoint(sources / "untied")
    quantised = gpu_spec(checkpoint, "bf16")
    return Case(CheckpointStore(home), lambda told: quantised_checkpoint(quantised, told))


def at_step(root: Path, number: int, act: Callable[[], None]) -> None:
    """Do `act` before this process changes the store for the nth time."""
    steps = itertools.count(1)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        writes = event == "open" and isinstance(args[2], int) and args[2] & _WRITES
        if (writes or event in _CHANGES) and isinstance(args[0], str | os.PathLike):
            path = Path(args[0])
            # the parts of a folder that is deleted come as bare names
            if (not path.is_absolute() or root in path.parents) and next(steps) == number:
                act()

    sys.addaudithook(hook)


def kill_me() -> None:
    """As the system does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def child(work: Callable[[], object]) -> int:
    """The number of a child that does this and no more."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return number


def prepare(it: Case, how: str) -> Callable[[], object]:
    """What is killed, when all that comes before it is done."""
    if how == "build":
        return lambda: it.make(NullProgress())
    kept = it.store.kind.load(it.make(NullProgress()))
    if how == "remove":
        return lambda: it.store.remove(kept)
    name, entry = max(kept.files.items(), key=lambda item: item[1].bytes)
    (kept.folder / name).write_bytes(b"x" * (entry.bytes - 1))
    return lambda: it.make(NullProgress())


def kill_everywhere(folder: Path, what: str, how: str) -> dict[str, Any]:
    """Kill at the first step, at the second, and so on until the work ends before its death."""
    wrong: list[str] = []
    leftovers = 0
    for number in itertools.count(1):
        it = case(what, folder, folder / str(number))
        work = prepare(it, how)
        broken = len(it.store.damaged())

        def die(work: Callable[[], object], root: Path, number: int) -> None:
            at_step(root, number, kill_me)
            work()

        _, status = os.waitpid(child(partial(die, work, it.store.root, number)), 0)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return {"wrong": wrong, "kills": number - 1, "leftovers": leftovers}
        leftovers += bool(it.hidden())
        wrong += it.wrong()
        wrong += list(it.store.damaged().values())[broken:]
        wrong += it.store.verify(it.store.kind.open(it.make(NullProgress())))
        wrong += map(str, it.hidden())
        wrong += it.store.damaged().values()
    raise AssertionError("it never ended")


def kill_while_another_waits(folder: Path, what: str) -> dict[str, Any]:
    """Kill the first process when all is written but the name, and a second one waits."""
    it = case(what, folder, folder / "home")
    at_rename, waiting, notes = folder / "at-rename", folder / "waiting", folder / "notes.json"

    def stop(event: str, args: tuple[Any, ...]) -> None:
        if event == "os.rename" and ".building-" in Path(args[0]).name:
            at_rename.touch()
            time.sleep(DEADLINE_S)

    def first() -> None:
        sys.addaudithook(stop)
        it.make(NullProgress())

    class Told(Notes):
        def note(self, text: str) -> None:
            super().note(text)
            waiting.touch()

    def second() -> None:
        told = Told()
        it.make(told)
        notes.write_text(json.dumps(told.notes))

    one = child(first)
    wait_for(at_rename)
    two = child(second)
    wait_for(waiting)
    os.kill(one, signal.SIGKILL)
    os.waitpid(one, 0)
    _, status = os.waitpid(two, 0)
    assert status == 0
    wrong = [*it.wrong(), *map(str, it.hidden()), *it.store.damaged().values()]
    assert len(it.store.list()) == 1
    return {"wrong": wrong, "notes": json.loads(notes.read_text())}


def wait_for(path: Path) -> None:
    """Until it is there."""
    deadline = time.monotonic() + DEADLINE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} never appeared"
        time.sleep(0.01)


if __name__ == "__main__":
    top, kind, way = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    said = kill_while_another_waits(top, kind) if way == "wait" else kill_everywhere(top, kind, way)
    sys.stdout.write(json.dumps(said) + "\n")
