"""Trials: what is done, and what is wrong afterwards."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from harness.runs.run import Run
from tests.faults.command import Place

BUILD = ("build", "--model", "newsbrief", "--recipe", "int8_wo")
RUN = ("run", "--model", "newsbrief", "--recipe", "int8_wo", "--scenario", "Offline")
QUANTISE = (*BUILD, "--target", "a30", "--stage", "quantise")
NUM_SAMPLES = 40
WHOLE_RUN = (*RUN, "--count", NUM_SAMPLES, "--output")
_OURS = (".locks",)  # hidden, and meant to stay


class Skipped(Exception):
    """Why this machine cannot show what a trial would."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial. `act` is given a folder of its own; the sentences that it returns say what is
    wrong, each with its kind in front: loss, hang, traceback or leftover.
    """

    kind: str
    name: str
    act: Callable[[Path], list[str]]


@dataclass(frozen=True, slots=True)
class Bench:
    """What trials start from: a cache with an engine, a finished run, and how long each command
    takes here, in seconds.
    """

    folder: Path
    build_s: float
    run_s: float
    quantise_s: float

    @property
    def run(self) -> Path:
        """A finished run."""
        return self.folder / "run"

    def place(self, folder: Path) -> Place:
        """A folder whose commands share the cache."""
        return Place(folder, {"ENGINEBENCH_HOME": str(self.folder / "home")})

    @classmethod
    def set_up(cls, folder: Path) -> Bench:
        """Make it; raises AssertionError when what nobody disturbs does not work."""
        place = Place(folder)
        steps = (BUILD, (*WHOLE_RUN, folder / "run"), QUANTISE)
        taken = []
        for step in steps:
            ended = place.run(*step)
            assert not ended.problems(0), (step, ended.problems(0))
            taken.append(ended.seconds)
        build_s, run_s, quantise_s = taken
        return cls(folder, build_s, run_s, quantise_s)


def leftovers(home: Path) -> list[str]:
    """What a cache holds that nobody will look at again."""
    return [
        f"leftover: {path.relative_to(home)}"
        for path in sorted(home.rglob("*"))
        if (path.name.startswith(".") or path.suffix == ".part") and path.name not in _OURS
    ]


def untrue(run: Path) -> list[str]:
    """What the record of a run says that is not so."""
    from harness.runs.integrity import problems

    if not (run / "run.json").exists():
        return []  # it had not begun
    found = Run.read(run)
    status = found.record.status
    if status == "running":
        return [f"loss: {run} is said to run"]
    if status == "complete":
        return [f"loss: {sentence}" for sentence in problems(found)]
    return _lost_figures(found)


def _lost_figures(run: Run) -> list[str]:
    """Answers that the run told of, and kept no figures of."""
    import json

    told: dict[str, int] = {}
    if run.folder.progress.exists():
        for line in run.folder.progress.read_text().splitlines():
            said = json.loads(line)
            told[said["test"]] = said["done"]
    lost = []
    for mode, num_told in told.items():
        files = run.folder.test(mode)
        if files.token_counts.exists():  # that test came to its end
            continue
        kept = files.partial.read_text().splitlines() if files.partial.exists() else []
        if len(kept) < num_told:
            lost.append(f"loss: {mode} told of {num_told} answers and kept {len(kept)}")
    return lost
