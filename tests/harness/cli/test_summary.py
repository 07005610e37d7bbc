"""The summary of a run: its result as the checker reads it, latencies, verdict, where it lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.cli.output import Output
from harness.cli.summary import show_run
from harness.rules.scenario import Scenario
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import rehearse


def test_a_finished_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rehearse(tmp_path, Scenario.SINGLE_STREAM, spec=SimulatedSpec(num_tokens=4, ttft_s=0.01))
    show_run(Output(as_json=False), run)
    said = capsys.readouterr().err
    test = run.record.tests.performance
    assert test is not None and test.primary is not None
    assert test.primary.value >= 10.0
    assert f"result  {test.primary.value:,.6g} ms (result_90.00_percentile_latency_ns)" in said
    assert "TTFT    p50 " in said
    assert "performance: INVALID because" in said  # 16 queries are too few for a percentile
    assert said.endswith("Then: change what is named above, and run again\n")
    assert f"Results are in {run.folder.path}" in said


def test_a_failed_run_gives_its_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = rehearse(tmp_path, spec=SimulatedSpec(fault="die", fault_after=0))
    show_run(Output(as_json=False), run)
    said = capsys.readouterr().err
    assert "performance: failed after 0 answers" in said
    assert "Cause: the simulated engine died at answer 0, as told" in said
    assert said.endswith(f"--scenario Offline --output {run.folder.path}-2\n")
