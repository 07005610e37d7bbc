"""Every command that writes where it is told refuses what is not its own place."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.paths import KEPT, cache_root
from tests.harness.cli.line import Line

RUN = ("run", "--model", "newsbrief", "--recipe", "bf16", "--scenario", "Offline")
PACK = ("submission", "pack", "run", "--submitter", "x", "--system", "s", "--division", "open")


@pytest.mark.parametrize("words", [RUN, PACK, ("demo",), ("dataset",)])
def test_an_output_in_a_checkpoint_is_refused(
    line: Line, tiny: Path, words: tuple[str, ...]
) -> None:
    before = sorted(tiny.iterdir())
    said = line.refused(2, *words, "--output", tiny / "out")
    assert said == f"--output {tiny / 'out'} lies in a checkpoint, {tiny}; choose another place."
    assert sorted(tiny.iterdir()) == before


def test_what_commands_keep_is_known(line: Line, engine: object, news: Path) -> None:
    said = line.refused(2, "dataset", "--dataset", news, "--show", "0")
    assert said == "--show is 0; give the number of a prompt, 1 for the first."
    assert not (cache_root() / "datasets").exists()
    assert line("dataset", "--dataset", news).code == 0
    kept = {path.name for path in cache_root().iterdir()}
    assert {"datasets", "digests", "engines"} <= kept <= set(KEPT)
