"""The rows of an unfinished test: each answer once, whoever writes it last."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from harness.loadgen.messages import AnswerRecord
from harness.loadgen.partial import PartialLog, save_rows

FIRST: AnswerRecord = (3, 0.1, 0.2, 5)
SECOND: AnswerRecord = (1, 0.3, 0.4, 6)


def samples(path: Path) -> list[int]:
    return [json.loads(line)["sample"] for line in path.read_text().splitlines()]


def test_what_is_told_late_is_not_there_twice(tmp_path: Path) -> None:
    path = tmp_path / "partial.jsonl"
    log = PartialLog(path)
    log.append([FIRST])
    assert samples(path) == [3]
    save_rows(path, [FIRST, SECOND], {3: np.array([7], np.int32)})
    log.append([SECOND])
    log.close(keep=True)
    assert samples(path) == [3, 1]
    assert json.loads(path.read_text().splitlines()[0])["token_ids"] == [7]


def test_a_test_without_an_answer_leaves_no_file(tmp_path: Path) -> None:
    log = PartialLog(tmp_path / "partial.jsonl")
    log.append([])
    log.close(keep=True)
    log.close(keep=True)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_does_not_end_the_test(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")
    for path in (full, tmp_path / "missing" / "partial.jsonl"):
        log = PartialLog(path)
        log.append([FIRST])
        log.close(keep=True)
