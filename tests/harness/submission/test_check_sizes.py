"""Whatever lies in a tree, its check comes to an end: endless and giant files are findings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.submission.tree import ORIGINALS
from tests.harness.submission.spoiling import (
    ACCURACY_TXT,
    HOME,
    MEASUREMENTS,
    RESULTS,
    SYSTEM_JSON,
    VERIFIED,
    sentences,
)

OFFLINE = f"{RESULTS}/Offline"
LOGS = (
    f"{OFFLINE}/performance/run_1/mlperf_log_detail.txt",
    f"{OFFLINE}/performance/run_1/mlperf_log_summary.txt",
    f"{OFFLINE}/accuracy/mlperf_log_detail.txt",
    f"{OFFLINE}/accuracy/mlperf_log_accuracy.json",
)
READ = (*LOGS, ACCURACY_TXT, VERIFIED, MEASUREMENTS, SYSTEM_JSON)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def giant(path: Path) -> None:
    with path.open("wb") as stream:
        stream.truncate(2**40)


@pytest.mark.parametrize("make", [endless, giant])
@pytest.mark.parametrize("name", READ)
def test_no_file_of_a_tree_is_read_without_end(
    tree: Path, name: str, make: Callable[[Path], None]
) -> None:
    (tree / name).unlink()
    make(tree / name)
    found = sentences(tree)
    assert any(Path(name).name in sentence for sentence in found)
    assert all(len(sentence) < 1000 for sentence in found)


def test_a_pipe_keeps_nobody_waiting(tree: Path) -> None:
    for name in READ:
        (tree / name).unlink()
        os.mkfifo(tree / name)
    assert any("is not a regular file" in sentence for sentence in sentences(tree))


def test_the_original_of_a_log_is_not_read_without_end(tree: Path) -> None:
    beside = tree.with_name(f"tree{ORIGINALS}") / OFFLINE / "accuracy/mlperf_log_accuracy.json"
    beside.unlink()
    giant(beside)
    (found,) = sentences(tree)
    assert "has more than the 256 MiB that such a file may have" in found


def test_folders_within_folders_without_end(tree: Path) -> None:
    deep = tree / HOME / "src"
    for _ in range(70):
        deep = deep / "d"
    deep.mkdir(parents=True)
    found = sentences(tree)
    assert (
        "the folder holds more than 64 folders inside each other; take out what does not belong "
        "there." in found
    )
