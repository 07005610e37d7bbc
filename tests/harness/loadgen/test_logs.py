"""LoadGen's detail log, read back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import RunFailed
from harness.loadgen.folder import DETAIL
from harness.loadgen.logs import read_detail


def write(folder: Path, *entries: tuple[str, Any, str]) -> None:
    lines = [
        ":::MLLOG "
        + json.dumps(
            {
                "key": key,
                "value": value,
                "metadata": {"is_error": kind == "error", "is_warning": kind == "warning"},
            }
        )
        for key, value, kind in entries
    ]
    (folder / DETAIL).write_text("\n".join(["LoadGen :", *lines]) + "\n")


SCENARIO = ("effective_scenario", "Server", "")


def test_figures_come_in_seconds_and_without_loadgens_wrong_throughput(tmp_path: Path) -> None:
    write(
        tmp_path,
        SCENARIO,
        ("result_validity", "INVALID", ""),
        ("result_min_duration_met", False, ""),
        ("early_stopping_met", True, ""),
        ("result_completed_samples_per_sec", 8.0, ""),
        ("result_completed_tokens_per_second", 1024.0, ""),
        ("result_token_throughput", 4.2e-07, ""),
        ("result_first_token_99.00_percentile_latency_ns", 1_500_000_000, ""),
        ("result_time_per_output_token_50.00_percentile_ns", 20_000_000, ""),
        ("result_90.00_percentile_latency_ns", 4_000_000_000, ""),
    )
    log = read_detail(tmp_path)
    assert not log.valid
    assert log.invalid_reasons == ("result_min_duration_met",)
    assert log.metrics().by_name == {
        "samples_per_s": 8.0,
        "tokens_per_s": 1024.0,
        "ttft_p99_s": 1.5,
        "tpot_p50_s": 0.02,
        "latency_p90_s": 4.0,
    }


def test_a_key_that_comes_twice_has_its_first_value_as_for_the_checker(tmp_path: Path) -> None:
    write(tmp_path, SCENARIO, ("result_validity", "INVALID", ""), ("result_validity", "VALID", ""))
    assert not read_detail(tmp_path).valid


def test_errors_count_even_in_a_valid_test(tmp_path: Path) -> None:
    write(
        tmp_path,
        SCENARIO,
        ("result_validity", "VALID", ""),
        ("error_runtime", "Attempted to complete a sample twice.", "error"),
        ("warning", "Multiple conf files are used", "warning"),
    )
    log = read_detail(tmp_path)
    assert log.valid
    assert log.errors == ("Attempted to complete a sample twice.",)
    assert log.warnings == ("Multiple conf files are used",)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "LoadGen wrote no mlperf_log_detail.txt"),
        ("", "has no settings in it"),
        (':::MLLOG {"key": "effective_sce', "has a broken line"),
    ],
)
def test_an_unfinished_log_is_a_failed_run(tmp_path: Path, text: str | None, says: str) -> None:
    if text is not None:
        (tmp_path / DETAIL).write_text(text)
    with pytest.raises(RunFailed, match=says):
        read_detail(tmp_path)
