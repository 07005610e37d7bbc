"""Trials: what is done, and what is wrong afterwards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from build_engine.errors import EXIT_OK
from harness.rules.rounds import Round
from harness.runs.run import Run
from newsbrief.generator import bare_article
from tests.faults.command import Place
from tests.rehearsal.rules import write_quick_rules

BUILD = ("build", "--model", "newsbrief", "--recipe", "int8_wo")
RUN = ("run", "--model", "newsbrief", "--recipe", "int8_wo", "--scenario", "Offline")
QUANTISE = (*BUILD, "--target", "a30", "--stage", "quantise")
NUM_SAMPLES = 40
WHOLE_RUN = (*RUN, "--count", NUM_SAMPLES, "--output")
# TEST06 asks for 100 samples
_WHOLE_SAMPLES, _WHOLE_S, _WHOLE_TOKENS = 100, 1.0, 16
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
    """What trials start from: a cache with an engine, a finished run, one that an audit accepts,
    and how long each command takes here, in seconds.
    """

    folder: Path
    build_s: float
    run_s: float
    quantise_s: float
    audit_s: float

    @property
    def run(self) -> Path:
        """A finished run."""
        return self.folder / "run"

    @property
    def whole_run(self) -> Path:
        """A run that is all of its workload, which an audit accepts."""
        return self.folder / "whole"

    @property
    def round(self) -> tuple[str, str]:
        """The option that chooses the round of the whole run."""
        return ("--round", str(self.folder / "quick-round.yaml"))

    def place(self, folder: Path) -> Place:
        """A folder whose commands share the cache."""
        return Place(folder, {"ENGINEBENCH_HOME": str(self.folder / "home")})

    @classmethod
    def set_up(cls, folder: Path) -> Bench:
        """Make it; raises AssertionError when what nobody disturbs does not work."""
        place, new = Place(folder), cls(folder, 0.0, 0.0, 0.0, 0.0)
        folder.mkdir(parents=True)

        def seconds(*words: object) -> float:
            ended = place.run(*words)
            assert not ended.problems(EXIT_OK), (words, ended.problems(EXIT_OK))
            return ended.seconds

        build_s, run_s = seconds(*BUILD), seconds(*WHOLE_RUN, new.run)
        quantise_s = seconds(*QUANTISE)
        seconds(*RUN, *_whole_workload(folder), "--output", new.whole_run)
        audited = shutil.copytree(new.whole_run, folder / "audited")
        return cls(folder, build_s, run_s, quantise_s, seconds("audit", audited, *new.round))


def _whole_workload(folder: Path) -> tuple[str, ...]:
    """Options of a run that is all of a small workload, under a round in which it may count."""
    news = folder / "news.jsonl"
    articles = [bare_article(index) for index in range(_WHOLE_SAMPLES)]
    lines = [json.dumps({"article": a.article, "highlights": a.highlights}) for a in articles]
    news.write_text("\n".join(lines) + "\n", encoding="utf-8")
    workload, rules = write_quick_rules(folder, _WHOLE_SAMPLES, _WHOLE_S, _WHOLE_TOKENS)
    return (*workload, *rules, "--dataset", str(news))


def leftovers(home: Path) -> list[str]:
    """What a cache holds that nobody will look at again."""
    return [
        f"leftover: {path.relative_to(home)}"
        for path in sorted(home.rglob("*"))
        if (path.name.startswith(".") or path.suffix == ".part") and path.name not in _OURS
    ]


def untrue(run: Path, chosen: Round | None = None) -> list[str]:
    """What the record of a run, of this round, says that is not so."""
    from harness.runs.integrity import problems

    if not (run / "run.json").exists():
        return []  # it had not begun
    found = Run.read(run)
    status = found.record.status
    if status == "running":
        return [f"loss: {run} is said to run"]
    if status == "complete":
        return [f"loss: {sentence}" for sentence in problems(found, chosen)]
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
