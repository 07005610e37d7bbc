"""What the engine gave in a test: kept whole, and refused when it is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from build_engine.errors import RunFailed
from harness.loadgen.given import GivenAnswers
from harness.loadgen.sut import _Answer


def ids(*values: int) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, np.int32)


GIVEN = GivenAnswers.of(
    [(7, 0.1, 0.5, 3), (2, 0.2, 0.2, 1), (7, 0.1, 0.4, 2)],
    [ids(5, 6, 1), ids(1), ids(5, 1)],
    [(0.2, 1), (float("nan"), 1), (0.3, 1)],
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    GIVEN.save(tmp_path / "given.npz")
    again = GivenAnswers.load(tmp_path / "given.npz")
    assert [each.tolist() for each in again.answers] == [[5, 6, 1], [1], [5, 1]]
    assert {sample: each.tolist() for sample, each in again.by_sample.items()} == {
        7: [5, 6, 1],  # the first of its answers
        2: [1],
    }
    assert again.latency_s.tolist() == [0.5, 0.2, 0.4]
    assert np.isnan(again.second_s).tolist() == [False, True, False]


def test_a_test_without_answers_has_none(tmp_path: Path) -> None:
    GivenAnswers.of([], [], []).save(tmp_path / "given.npz")
    assert GivenAnswers.load(tmp_path / "given.npz").answers == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda given: replace(given, lengths=given.lengths + 1),
        lambda given: replace(given, samples=given.samples[:1]),
        lambda given: replace(given, ids=given.ids.astype(np.int64)),
    ],
)
def test_one_that_contradicts_itself_is_refused(
    tmp_path: Path, spoil: Callable[[GivenAnswers], GivenAnswers]
) -> None:
    spoil(GIVEN).save(tmp_path / "given.npz")
    with pytest.raises(RunFailed, match=r"given\.npz contradicts itself; run again"):
        GivenAnswers.load(tmp_path / "given.npz")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_a_broken_one_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "given.npz").write_bytes(content)
    with pytest.raises(RunFailed, match=r"given\.npz cannot be read"):
        GivenAnswers.load(tmp_path / "given.npz")
    with pytest.raises(RunFailed, match="cannot be read"):
        GivenAnswers.load(tmp_path / "none.npz")


def test_tokens_of_one_moment_are_counted_together() -> None:
    answer = _Answer(index=0, issued_s=10.0)
    for now_s, new in ((10.5, ids(5)), (10.7, ids(6, 7)), (10.7004, ids(8)), (10.9, ids(1))):
        answer.add(new, now_s)
    assert (answer.first_s, answer.second_s) == (10.5, 10.7)
    assert answer.burst == 3
