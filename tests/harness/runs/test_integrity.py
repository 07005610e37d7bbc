"""A run folder against what the run wrote."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_engine.errors import ResultProblem
from harness.runs.integrity import problems, require_intact
from harness.runs.record import RunRecord
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import rehearse


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    run = rehearse(tmp_path, modes=("performance", "accuracy"), spec=SimulatedSpec(num_tokens=5))
    return RunRecord.read(run.folder)


def test_a_run_as_it_was_written_is_intact(record: RunRecord) -> None:
    assert problems(record) == []
    require_intact(record)


def test_each_number_of_run_json_is_that_of_loadgens_log(record: RunRecord) -> None:
    key = "result_tokens_per_second"
    for field, value in (
        ("metrics", {"samples_per_s": 1e6}),
        ("primary", {"key": key, "value": 1e6, "unit": "tokens/s"}),
    ):
        content = json.loads((record.folder / "run.json").read_text())
        content["tests"]["performance"][field] = value
        found = problems(RunRecord(record.folder, content))
        assert all("by LoadGen's log; run again." in problem for problem in found)
        assert found


def test_an_edited_a_missing_and_a_foreign_log_are_each_named(record: RunRecord) -> None:
    detail = record.folder / "performance" / "mlperf_log_detail.txt"
    detail.write_text(detail.read_text() + " ")
    (record.folder / "accuracy" / "mlperf_log_summary.txt").unlink()
    (record.folder / "accuracy" / "user.conf.d").mkdir()
    (record.folder / "accuracy" / "user.conf.d" / "user.conf").write_text("")
    assert problems(record) == [
        "accuracy/mlperf_log_summary.txt is missing; restore it, or run again.",
        "accuracy/user.conf.d/user.conf is not of the run; remove it.",
        "performance/mlperf_log_detail.txt was edited: its digest is not the recorded one; "
        "run again.",
    ]
    with pytest.raises(ResultProblem, match="was changed after the run"):
        require_intact(record)


@pytest.mark.parametrize(
    "name", ["performance/token_counts.json", "performance/job.json", "performance/user.conf"]
)
def test_what_a_verdict_rests_on_is_digested(record: RunRecord, name: str) -> None:
    path = record.folder / name
    path.write_text(path.read_text() + " ")
    assert problems(record) == [
        f"{name} was edited: its digest is not the recorded one; run again."
    ]


def test_a_log_that_breaks_off_is_named_not_raised(record: RunRecord) -> None:
    detail = record.folder / "performance" / "mlperf_log_detail.txt"
    detail.write_text(detail.read_text()[:-50])
    assert any("has a broken line; the run is incomplete" in text for text in problems(record))
