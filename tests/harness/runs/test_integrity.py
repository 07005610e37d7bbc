"""A run folder against what the run wrote."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from build_engine.errors import ResultProblem
from harness.progress import NullProgress
from harness.rules.rounds import load_round
from harness.runs.execution import execute
from harness.runs.integrity import problems, require_intact
from harness.runs.record import PrimaryResult
from harness.runs.run import Run
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import make_request, rehearse


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of both tests, made once: tests break copies of it."""
    folder, spec = tmp_path_factory.mktemp("written"), SimulatedSpec(num_tokens=5)
    return rehearse(folder, modes=("performance", "accuracy"), spec=spec).folder.path


@pytest.fixture
def run(written: Path, tmp_path: Path) -> Run:
    """The same, to be broken."""
    shutil.copytree(written, tmp_path / "run")
    return Run.read(tmp_path / "run")


def test_a_run_as_it_was_written_is_intact(run: Run) -> None:
    assert problems(run) == []
    require_intact(run)


def test_a_run_of_a_round_that_is_not_shipped_is_read_by_that_round(tmp_path: Path) -> None:
    own = load_round("v6.1").model_copy(update={"name": "own"})
    request = make_request(tmp_path, spec=SimulatedSpec(num_tokens=5))
    run = execute(replace(request, scope=replace(request.scope, round=own)), NullProgress())
    assert problems(run, own) == []
    (unknown,) = problems(run)
    assert unknown.startswith("Unknown round `own`")


def test_each_number_of_run_json_is_that_of_loadgens_log(run: Run) -> None:
    key, tests = "result_tokens_per_second", run.record.tests
    assert tests.performance is not None and tests.performance.metrics is not None
    metrics = tests.performance.metrics.model_copy(update={"samples_per_s": 1e6})
    primary = PrimaryResult(key=key, value=1e6, unit="tokens/s")
    for field, value in (("metrics", metrics), ("primary", primary)):
        edited = tests.performance.model_copy(update={field: value})
        with_it = tests.model_copy(update={"performance": edited})
        record = run.record.model_copy(update={"tests": with_it}).sealed()
        found = problems(Run(run.folder, record))
        assert len(found) == 1
        assert found[0].endswith("by LoadGen's log; run again.")


def test_an_edited_a_missing_and_a_foreign_log_are_each_named(run: Run) -> None:
    detail = run.folder.path / "performance" / "mlperf_log_detail.txt"
    detail.write_text(detail.read_text() + " ")
    (run.folder.path / "accuracy" / "mlperf_log_summary.txt").unlink()
    (run.folder.path / "accuracy" / "user.conf.d").mkdir()
    (run.folder.path / "accuracy" / "user.conf.d" / "user.conf").write_text("")
    assert problems(run) == [
        "accuracy/mlperf_log_summary.txt is missing; restore it, or run again.",
        "accuracy/user.conf.d/user.conf is not of the run; remove it.",
        "performance/mlperf_log_detail.txt was edited: its digest is not the recorded one; "
        "run again.",
    ]
    with pytest.raises(ResultProblem, match="was changed after the run"):
        require_intact(run)


@pytest.mark.parametrize(
    "name", ["performance/token_counts.json", "performance/job.json", "performance/user.conf"]
)
def test_what_a_verdict_rests_on_is_digested(run: Run, name: str) -> None:
    path = run.folder.path / name
    path.write_text(path.read_text() + " ")
    assert problems(run) == [f"{name} was edited: its digest is not the recorded one; run again."]


def test_a_log_that_breaks_off_is_named_not_raised(run: Run) -> None:
    detail = run.folder.path / "performance" / "mlperf_log_detail.txt"
    detail.write_text(detail.read_text()[:-50])
    assert any("has a broken line; the run is incomplete" in text for text in problems(run))


def test_repeats_are_made_again_from_their_own_files(tmp_path: Path) -> None:
    spec = SimulatedSpec(num_tokens=5)
    request = make_request(tmp_path, modes=("performance", "accuracy"), spec=spec, repeat=3)
    made = execute(request, NullProgress())
    run = Run.read(made.folder.path)
    assert problems(run) == []
    repeats = run.record.repeats
    assert repeats is not None
    for test in repeats.tests:
        assert "lengths of the accuracy test" in {rule.name for rule in test.verdict.rules}
    spread = repeats.spreads[0].model_copy(update={"median": 1e9})
    figures = repeats.tests[1].model_copy(update={"metrics": repeats.tests[0].metrics})
    for edited in (
        repeats.model_copy(update={"spreads": (spread, *repeats.spreads[1:])}),
        repeats.model_copy(update={"tests": (repeats.tests[0], figures)}),
    ):
        record = run.record.model_copy(update={"repeats": edited}).sealed()
        assert problems(Run(run.folder, record)) != []
