"""LoadGen's accuracy log and its summary, read back beside the detail log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.errors import RunFailed
from harness.loadgen.detail import DetailLog
from harness.loadgen.folder import ACCURACY, SUMMARY
from harness.loadgen.logs import first_answers, read_answers, summary_differences

FIXTURES = Path(__file__).parent / "fixtures"
HEX = np.array([5, 6], np.int32).tobytes().hex()
ENTRY: dict[str, Any] = {"seq_id": 0, "qsl_idx": 3, "data": HEX, "token_count": 2}


def test_an_answer_has_its_ids_and_those_of_its_first_token(tmp_path: Path) -> None:
    offline, server = ENTRY, ENTRY | {"token_data": HEX[:8]}
    (tmp_path / ACCURACY).write_text(json.dumps([offline, server]))
    first, second = read_answers(tmp_path)
    assert (first.index, first.ids.tolist(), first.token_count) == (3, [5, 6], 2)
    assert first.first_ids is None
    assert second.first_ids is not None
    assert second.first_ids.tolist() == [5]


def test_the_log_that_loadgen_wrote_is_read() -> None:
    """The fixture was written by LoadGen 6.0.17; its order is not that of the samples."""
    answers = read_answers(FIXTURES)
    assert {answer.index: answer.ids.tolist() for answer in answers} == {
        0: [5, 2, 7],
        1: [6],
        2: [3, 4, 5, 6],
        3: [8, 9],
        4: [4, 1],
    }
    assert [answer.index for answer in answers] == [2, 4, 3, 0, 1]
    assert all(answer.ids.dtype == np.int32 for answer in answers)


def test_the_first_of_several_answers_counts(tmp_path: Path) -> None:
    entries = [
        {"qsl_idx": index, "data": np.array(ids, np.int32).tobytes().hex(), "token_count": len(ids)}
        for index, ids in ((7, [1, 2]), (3, []), (7, [9]))
    ]
    (tmp_path / ACCURACY).write_text(json.dumps(entries))
    answers = read_answers(tmp_path)
    assert [answer.index for answer in answers] == [7, 3, 7]
    first = first_answers(answers)
    assert [(index, ids.tolist()) for index, ids in first.items()] == [(7, [1, 2]), (3, [])]


def test_a_count_that_is_told_wrong_is_not_taken_for_another_type(tmp_path: Path) -> None:
    """Twice as many bytes as int32 ids would have, but no int64: their upper halves are not 0."""
    (tmp_path / ACCURACY).write_text(json.dumps([ENTRY | {"token_count": 1}]))
    assert read_answers(tmp_path)[0].token_count == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "LoadGen wrote no mlperf_log_accuracy.json"),
        ("", r"breaks off or is damaged: it is not valid JSON .*char 0"),
        ("[{", "breaks off or is damaged"),
        ('[\n{ "seq_id" : 0, "qsl_idx" : 1, "da', "breaks off or is damaged"),
        ('[{"seq_id": 0,\n\n...\n\n"data": "00"}]', "truncated for submission; take the original"),
        ("{}", "is no list of answers"),
        ("[1]", "entry 0 is not an answer"),
        (json.dumps([ENTRY, {"qsl_idx": 1}]), "entry 1 is not an answer"),
        (json.dumps([{"qsl_idx": 1, "data": HEX}]), "entry 0 is not an answer"),
        (json.dumps([ENTRY | {"token_count": "2"}]), "its token_count is '2'"),
        (json.dumps([ENTRY | {"data": 5}]), "entry 0 is not an answer"),
        (json.dumps([ENTRY | {"data": "xy"}]), "entry 0 is not an answer"),
        (json.dumps([ENTRY | {"data": "010203"}]), "entry 0 is not an answer"),
        (json.dumps([ENTRY | {"token_data": "00"}]), "entry 0 is not an answer"),
        (json.dumps([ENTRY | {"qsl_idx": -1}]), "its qsl_idx is -1"),
        (json.dumps([ENTRY | {"data": "FFFFFFFF"}]), "negative token id -1"),
        (json.dumps([ENTRY | {"data": "0100000000000000", "token_count": 1}]), "ids are int64"),
    ],
)
def test_a_broken_accuracy_log_is_a_failed_run_with_its_path(
    tmp_path: Path, text: str | None, says: str
) -> None:
    if text is not None:
        (tmp_path / ACCURACY).write_text(text)
    with pytest.raises(RunFailed, match=says) as caught:
        read_answers(tmp_path)
    assert str(tmp_path) in str(caught.value)


RATE = "result_samples_per_second"


@pytest.mark.parametrize(
    ("line", "logged", "agrees"),
    [
        ("Samples per second: 21.9443", 21.9443, True),
        ("Samples per second: 21.9444", 21.9443, True),  # the last digit may be rounded
        ("Samples per second: 21.96", 21.9443, False),
        ("Samples per second: 3.92493e+06", 3924930.0, True),
        ("Samples per second: 3.93e+06", 3924930.0, False),
        ("Samples per second: inf", 3924930.0, False),
        ("Samples, by the way: 5", 21.9443, True),  # no figure that is compared
    ],
)
def test_the_summary_is_held_against_the_detail_log(
    tmp_path: Path, line: str, logged: float, agrees: bool
) -> None:
    (tmp_path / SUMMARY).write_text(f"SUT name : PySUT\n{line}\n")
    log = DetailLog({"effective_scenario": "Offline", RATE: logged}, (), ())
    assert (summary_differences(tmp_path, log) == []) is agrees


def test_the_summarys_verdict_is_compared_too_and_a_missing_one_is_a_failed_run(
    tmp_path: Path,
) -> None:
    log = DetailLog({"effective_scenario": "Offline", "result_validity": "INVALID"}, (), ())
    with pytest.raises(RunFailed, match=r"LoadGen wrote no mlperf_log_summary\.txt"):
        summary_differences(tmp_path, log)
    (tmp_path / SUMMARY).write_text("Result is : VALID\n")
    assert summary_differences(tmp_path, log) == [
        "Result is: VALID in the summary, INVALID in the detail"
    ]
