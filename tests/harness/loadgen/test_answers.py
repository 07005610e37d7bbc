"""LoadGen's accuracy log and its summary, read back beside the detail log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.errors import RunFailed
from harness.loadgen.logs import ACCURACY, SUMMARY, DetailLog, read_answers, summary_differences

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


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "LoadGen wrote no mlperf_log_accuracy.json"),
        ("[{", "is broken"),
        ("[1]", "is broken"),
        (json.dumps([{"qsl_idx": 1}]), "is broken"),
        (json.dumps([ENTRY | {"data": "xy"}]), "is broken"),
        (json.dumps([ENTRY | {"data": "00"}]), "is broken"),
    ],
)
def test_a_broken_accuracy_log_is_a_failed_run(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / ACCURACY).write_text(text)
    with pytest.raises(RunFailed, match=says):
        read_answers(tmp_path)


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
