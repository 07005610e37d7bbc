"""Every hostile file is refused: in bounded time and memory, by one sentence, with exit code 2."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from build_engine.errors import EXIT_OK, EXIT_RESULT, EXIT_USAGE
from tests.faults import hostile
from tests.faults.command import Place
from tests.faults.hostile import Make
from tests.faults.trials import RUN, Bench, Trial, leftovers

_ARTICLES = ("t1 t2", "t3 t4 t5")


def trials(bench: Bench) -> Iterator[Trial]:
    """Each file, and each command that reads it."""
    usage = (EXIT_USAGE,)
    for name, make in hostile.REFUSED_CHECKPOINTS.items():
        yield Trial("hostile checkpoint", name, partial(refuse_build, make, usage))
    for name, make in hostile.OTHER_CHECKPOINTS.items():
        yield Trial("hostile checkpoint", name, partial(refuse_build, make, (EXIT_OK, EXIT_USAGE)))
    for name, make in hostile.REFUSED_TOKENIZERS.items():
        yield Trial("hostile checkpoint", name, partial(_dataset_with, make))
    for name, make in hostile.DATASETS.items():
        yield Trial("hostile dataset", name, partial(_dataset, bench, make))
    for name, make in hostile.CONFIGS.items():
        yield Trial("hostile config", name, partial(_config, bench, make))
    for name, make in hostile.RECORDS.items():
        yield Trial("hostile record", name, partial(_record, bench, make))
    for name, make in hostile.TREES.items():
        yield Trial("hostile tree", name, partial(_tree, bench, make))


def refuse_build(make: Make, codes: tuple[int, ...], folder: Path) -> list[str]:
    make(folder / "checkpoint")
    place = Place(folder)
    ended = place.run("build", "--model", folder / "checkpoint", "--recipe", "bf16")
    return ended.problems(*codes) + (leftovers(place.home) if place.home.exists() else [])


def _dataset_with(make: Make, folder: Path) -> list[str]:
    """A tokenizer is looked into when something is encoded."""
    make(folder / "checkpoint")
    hostile.records(*_ARTICLES)(folder / "news.jsonl")
    words = ("dataset", "--model", folder / "checkpoint", "--dataset", folder / "news.jsonl")
    return Place(folder).run(*words).problems(EXIT_USAGE)


def _dataset(bench: Bench, make: Make, folder: Path) -> list[str]:
    file = folder / "news.jsonl"
    make(file)
    place = bench.place(folder)
    words = (*RUN, "--dataset", file, "--output", folder / "run")
    found = place.run("dataset", "--dataset", file).problems(EXIT_USAGE)
    found += place.run(*words).problems(EXIT_USAGE)
    return [*found, *(["loss: a run began"] if (folder / "run").exists() else [])]


def _config(bench: Bench, make: Make, folder: Path) -> list[str]:
    file = folder / "config.yaml"
    make(file)
    place = bench.place(folder)
    found = place.run(*RUN, "--workload", file, "--output", folder / "run").problems(EXIT_USAGE)
    found += place.run("build", "--model", "newsbrief", "--recipe", file).problems(EXIT_USAGE)
    return found + place.run("doctor", "--round", file).problems(EXIT_USAGE)


def _record(bench: Bench, make: Make, folder: Path) -> list[str]:
    run = folder / "run"
    shutil.copytree(bench.run, run)
    make(run)
    place = bench.place(folder)
    who = ("--submitter", "me", "--system", "s.json", "--division", "open", "--output", "tree")
    found = place.run("audit", run).problems(EXIT_USAGE)
    found += place.run("submission", "pack", run, *who).problems(EXIT_USAGE)
    below = {path.name for path in folder.iterdir() if not path.name.startswith("tmp-")}
    return [*found, *([] if below == {"run"} else [f"loss: {sorted(below)} was written"])]


def _tree(bench: Bench, make: Make, folder: Path) -> list[str]:
    make(folder / "tree")
    return bench.place(folder).run("submission", "check", folder / "tree").problems(EXIT_RESULT)
