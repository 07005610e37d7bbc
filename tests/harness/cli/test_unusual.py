"""Paths that are no text, and little memory: refused in a sentence, before anything is spent."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.cli.line import Line

NO_TEXT = os.fsdecode(b"caf\xe9")
RUN = ("run", "--model", "newsbrief", "--recipe", "bf16", "--scenario", "Offline", "--count", 4)
REMEDY = "is not UTF-8 text, and what is recorded about it must be; rename that folder or file."


def test_a_checkpoint_whose_name_is_no_text(line: Line, tiny: Path, tmp_path: Path) -> None:
    folder = tiny.rename(tmp_path / NO_TEXT)
    shown = f"{tmp_path}/caf\\udce9"
    said = line("build", "--model", folder, "--recipe", "bf16")
    assert (said.code, said.err) == (2, f"enginebench: {shown} {REMEDY}\n")


@pytest.mark.parametrize("words", [RUN, ("demo",)])
def test_an_output_whose_name_is_no_text(line: Line, tmp_path: Path, words: object) -> None:
    assert isinstance(words, tuple)
    said = line(*words, "--output", tmp_path / NO_TEXT)
    assert said.code == 2
    assert said.err.endswith(f"{REMEDY}\n")
    assert not (tmp_path / NO_TEXT).exists()


def test_a_cache_whose_name_is_no_text(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / NO_TEXT))
    for words in (RUN, ("engines", "list"), ("dataset",)):
        output = ("--output", tmp_path / "out") if words is RUN else ()
        said = line(*words, *output)
        assert said.code == 2
        assert said.err.endswith(f"{REMEDY}\n")


def test_a_dataset_whose_name_is_no_text_is_read(line: Line, tmp_path: Path, news: Path) -> None:
    file = news.rename(tmp_path / f"{NO_TEXT}.jsonl")
    said = line("dataset", "--dataset", file)
    assert said.code == 0
    assert f"--dataset $'{tmp_path}/caf\\xe9.jsonl'" in said.err


def test_too_little_address_space_is_said_at_once(tiny: Path, tmp_path: Path) -> None:
    told = (
        "This process may take 1.00 GiB of address space, and an engine needs 1.5 GiB or more; "
        "raise that limit (ulimit -v)."
    )
    for words in (RUN, ("build", "--model", tiny, "--recipe", "bf16"), ("demo",)):
        output = () if "build" in words else ("--output", tmp_path / "out")
        said = _with_little_memory(*words, *output)
        assert said.returncode == 3
        assert said.stderr.splitlines()[-1] == f"enginebench: {told}"
    assert not (tmp_path / "out").exists()
    said = _with_little_memory("dataset", "--count", 3)
    assert said.returncode == 3
    assert "and a tokenizer needs 1.5 GiB or more" in said.stderr


def _with_little_memory(*words: object) -> subprocess.CompletedProcess[str]:
    """A process of its own, as this one may have more already."""
    limited = ("sh", "-c", 'ulimit -v 1048576; exec "$@"', "sh")
    command = (*limited, sys.executable, "-m", "enginebench", *map(str, words))
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "--model", "newsbrief", "--repeats", "9" * 5000),
        ("sweep", "--model", "newsbrief", "--max-batch-sizes", "9" * 5000),
        ("build", "--model", "newsbrief", "--recipe", "bf16", "--max-batch-size", "9" * 5000),
        ("build", "--model", "newsbrief", "--recipe", "bf16", "--set", f"recipe.x={'9' * 5000}"),
        ("runs", "list", "--since", "9" * 5000),
    ],
)
def test_a_number_of_thousands_of_digits_is_not_said_again(
    line: Line, arguments: tuple[str, ...]
) -> None:
    assert len(line.refused(2, *arguments)) < 400
