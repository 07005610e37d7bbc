"""A performance test that is run several times: every one is kept, the first is the result."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_engine.errors import EXIT_OK, EXIT_RESULT
from harness.cli.output import Output
from harness.cli.summary import show_run
from harness.machine.load import MachineLoad
from harness.progress import NullProgress
from harness.runs.execution import execute
from harness.runs.record import TestRecord
from harness.runs.repeats import with_test
from harness.runs.run import Run
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_request

BUSY = MachineLoad(
    wall_s=10.0, num_cpus=2, ours_s=9.0, others_s=8.0, stolen_s=0.0, load_average=4.0
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Both tests of a simulated engine, the first of them three times."""
    folder = tmp_path_factory.mktemp("repeated")
    request = make_request(folder, modes=("performance", "accuracy"), repeat=3)
    return execute(request, NullProgress())


def test_each_test_lies_in_a_folder_of_its_own(run: Run) -> None:
    for name in ("performance", "performance-2", "performance-3", "accuracy"):
        assert (run.folder.path / name / "mlperf_log_detail.txt").is_file()
        assert f"{name}/mlperf_log_detail.txt" in run.record.files
    progress = run.folder.progress.read_text().splitlines()
    assert {json.loads(line)["test"] for line in progress} >= {"performance", "performance-3"}


def test_the_first_is_the_result_and_the_others_have_its_plan(run: Run) -> None:
    first, second, third = run.record.performance_tests
    assert first == run.record.tests.performance
    assert first.plan == second.plan == third.plan
    assert first.metrics != second.metrics
    assert run.exit_code == EXIT_OK


def test_a_test_tells_what_the_machine_did_meanwhile(run: Run) -> None:
    for test in run.record.performance_tests:
        assert test.load is not None
        assert test.load.wall_s > 0


def test_median_and_spread(run: Run) -> None:
    assert run.record.repeats is not None
    spread, *_ = run.record.repeats.spreads
    values = sorted(t.primary.value for t in run.record.performance_tests if t.primary)
    assert [spread.low, spread.median, spread.high] == values
    assert spread.unit == "tokens/s"
    assert Run.read(run.folder.path) == run


def test_one_that_is_invalid_makes_the_run_so(run: Run) -> None:
    assert run.record.repeats is not None
    second, third = run.record.repeats.tests
    verdict = third.verdict.model_copy(update={"valid": False})
    repeats = run.record.repeats.model_copy(
        update={"tests": (second, third.model_copy(update={"verdict": verdict}))}
    )
    changed = Run(run.folder, run.record.model_copy(update={"repeats": repeats}))
    assert changed.exit_code == EXIT_RESULT


def test_what_did_not_complete_has_no_part_in_the_spread(run: Run) -> None:
    first, second, _ = run.record.performance_tests
    stopped = TestRecord(
        status="interrupted",
        cause="stopped by the user",
        plan=None,
        probe=None,
        last_figures=None,
        verdict=second.verdict,
    )
    repeats = with_test(first, with_test(first, None, second), stopped)
    assert repeats.tests == (second, stopped)
    assert repeats.spreads == with_test(first, None, second).spreads


def test_a_failure_ends_the_run(tmp_path: Path) -> None:
    spec = SimulatedSpec(fault="die", fault_after=0)
    failed = execute(make_request(tmp_path, spec=spec, repeat=3), NullProgress())
    assert failed.record.status == "failed"
    assert len(failed.record.performance_tests) == 1


def test_the_summary_shows_each_test_the_spread_and_a_busy_machine(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    first = run.record.tests.performance
    assert first is not None
    busy = first.model_copy(update={"load": BUSY})
    tests = run.record.tests.model_copy(update={"performance": busy})
    show_run(Output(as_json=False), Run(run.folder, run.record.model_copy(update={"tests": tests})))
    said = capsys.readouterr().err
    assert "  performance-3: meets the rules of a simulated run" in said
    assert "result_tokens_per_second: median " in said
    assert " tokens/s of 3 tests, " in said
    line = "    busy machine: other processes took 40% of the time of 2 CPUs, this run 45%\n"
    assert said.index(line) < said.index("  performance: meets the rules")
