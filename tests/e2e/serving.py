"""`enginebench serve` in a process of its own, over a bundled engine in a cache of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from build_engine.store.engine import Engine
from harness.cli.main import run


@contextlib.contextmanager
def own_home(factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache for the tests of one file: an engine is named by its model, target and recipe."""
    home = factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENGINEBENCH_HOME", str(home))
        yield home


def built(home: Path, recipe: str) -> Engine:
    """The bundled model's engine."""
    assert run(["build", "--model", "newsbrief", "--recipe", recipe]) == 0
    [folder] = (home / "engines/newsbrief/cpu").glob(f"{recipe}-*")
    return Engine.load(folder)


@contextlib.contextmanager
def serving(
    engine: Engine,
    *options: str,
    program: Sequence[str] = ("-m", "enginebench"),
    **environment: str,
) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The process, and what it says when it takes requests."""
    name = f"newsbrief/cpu/{engine.recipe}"
    with subprocess.Popen(
        [sys.executable, *program, "serve", name, "--port", "0", "--json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    ) as process:
        assert process.stdout is not None
        lines = list[str]()
        while not lines or lines[-1] != "}\n":
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            lines.append(line)
        try:
            yield process, json.loads("".join(lines))
        finally:
            process.kill()
