"""The timeline of a run is what was told while it ran, whatever became of the file."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.runs.folder import RunFolder
from harness.runs.run import Run
from harness.runs.timeline import read_timeline
from tests.harness.figures import make_figures

FIRST = make_figures(elapsed_s=0.5, prompt_tokens=2048, active=40, kv_blocks_used=64)
SECOND = make_figures(elapsed_s=1.0, prompt_tokens=4096, tokens=3, active=40, left_s=61.5)


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder in which two tests were told of."""
    folder = RunFolder(tmp_path)
    run = Run(folder, record=None)  # type: ignore[arg-type]  # only its folder is asked for
    run.log_progress("performance", FIRST)
    run.log_progress("performance", SECOND)
    run.log_progress("accuracy", FIRST)
    return folder


def test_it_is_what_was_told_by_test(folder: RunFolder) -> None:
    timeline = read_timeline(folder.progress)
    assert timeline == {"performance": (FIRST, SECOND), "accuracy": (FIRST,)}
    assert list(timeline) == ["performance", "accuracy"]


@pytest.mark.parametrize(
    "torn",
    [
        '{"test": "accuracy", "elapsed_s": 1.0, "iss',
        '{"test": "accuracy"}',
        '{"elapsed_s": 1.0}',
        '"text"',
        "\x00\x00\x00",
        "",
    ],
)
def test_a_torn_line_is_passed_over(folder: RunFolder, torn: str) -> None:
    before = read_timeline(folder.progress)
    text = folder.progress.read_text()
    folder.progress.write_text(f"{torn}\n{text}{torn}")
    assert read_timeline(folder.progress) == before


def test_bytes_that_are_no_text_are_passed_over(folder: RunFolder) -> None:
    folder.progress.write_bytes(folder.progress.read_bytes() + b'{"test": "\xff\xfe')
    assert len(read_timeline(folder.progress)["performance"]) == 2


def test_without_a_file_there_is_no_timeline(tmp_path: Path) -> None:
    assert read_timeline(tmp_path / "progress.jsonl") == {}
    assert read_timeline(tmp_path) == {}
