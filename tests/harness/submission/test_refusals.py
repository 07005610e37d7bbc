"""Runs that may not be packed: each is refused by its reason, and nothing is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build_engine.store.manifest import CalibrationIdentity, CalibrationRecord
from harness.machine.facts import library_versions
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule, Verdict
from harness.runs.record import AuditRecord, TestRecords
from harness.runs.run import Run
from harness.scoring.accuracy import Gate
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.runs.claims import MACHINE
from tests.harness.submission.finished_runs import as_newsbrief, edit_record, engine_manifest
from tests.harness.submission.packing import pack_runs, refusal

FAILED = Rule(
    name="latency limits",
    passed=False,
    measured="2500.0 ms",
    allowed="2000 ms at p99",
    remedy="lower --qps",
)


def change(**fields: Any) -> Callable[[Path], object]:
    return lambda folder: edit_record(folder, **fields)


def drop_accuracy(folder: Path) -> None:
    tests = Run.read(folder).record.tests
    edit_record(folder, modes=("performance",), tests=TestRecords(performance=tests.performance))


def invalid(folder: Path) -> None:
    tests = Run.read(folder).record.tests
    assert tests.performance is not None
    failed = tests.performance.model_copy(update={"verdict": Verdict.of([FAILED])})
    edit_record(folder, tests=tests.model_copy(update={"performance": failed}))


def late_and_so_invalid(folder: Path) -> None:
    tests = Run.read(folder).record.tests
    assert tests.performance is not None
    follows = FAILED.model_copy(update={"name": "LoadGen's verdict", "remedy": "It is late."})
    failed = tests.performance.model_copy(update={"verdict": Verdict.of([follows, FAILED])})
    edit_record(folder, tests=tests.model_copy(update={"performance": failed}))


def missed_gate(folder: Path) -> None:
    accuracy = Run.read(folder).record.accuracy
    assert accuracy is not None
    gate = Gate.of("rouge1", 37.0, 38.391408, None)
    edit_record(folder, accuracy=accuracy.model_copy(update={"gates": (gate,)}))


def own_calibration(folder: Path) -> None:
    looked_at = CalibrationIdentity(digest="d" * 64, official=False)
    engine = resealed(engine_manifest(), calibration=looked_at)
    prompts = CalibrationRecord(name="newsbrief", options=(), num_prompts=8)
    edit_record(folder, engine=engine.model_copy(update={"calibration": prompts}))


def other_weights(folder: Path) -> None:
    tune = make_manifest(name="my-tune", weights={"model.safetensors": "a" * 64})
    edit_record(folder, engine=tune)


def without_ecc(folder: Path) -> None:
    record = Run.read(folder).record
    assert record.engine is not None
    gpu = record.engine.identity.target.model_copy(update={"kind": "gpu"})
    problem = "GPU 0 (A30) has ECC off; switch it on"
    edit_record(
        folder,
        engine=resealed(record.engine, target=gpu),
        system=record.system.model_copy(update={"closed_problems": (problem,)}),
    )


def failed_audit(folder: Path) -> None:
    rule = FAILED.model_copy(update={"name": "EOS check", "measured": "3 of 100"})
    audit = AuditRecord(status="complete", cause=None, verdict=Verdict.of([rule]))
    edit_record(folder, audits={"TEST06": audit})


def other_data(folder: Path) -> None:
    dataset = Run.read(folder).record.dataset
    edit_record(folder, dataset=dataset.model_copy(update={"digest": "e" * 64}))


def other_rules(folder: Path) -> None:
    workload = Run.read(folder).record.workload
    kept = {name: rules for name, rules in workload.scenarios.items() if name.has_rate}
    own = {"title": "Another", "sources": ["mine"], "scenarios": kept}  # these may differ
    edit_record(folder, workload=workload.model_copy(update=own | {"max_new_tokens": 64}))


def edited_log(folder: Path) -> None:
    rewrite(folder / "performance" / "mlperf_log_summary.txt", "21.90", "99.90")


def edited_figure(folder: Path) -> None:
    rewrite(folder / "run.json", '"tokens_per_s": 28', '"tokens_per_s": 98')


def edited_scores(folder: Path) -> None:
    rewrite(folder / "accuracy" / "accuracy.txt", "38.7792", "39.7792")


def foreign_log(folder: Path) -> None:
    (folder / "other").mkdir()
    (folder / "other" / "mlperf_log_detail.txt").write_text("from elsewhere")


def missing_log(folder: Path) -> None:
    (folder / "accuracy" / "mlperf_log_summary.txt").unlink()


def rewrite(path: Path, old: str, new: str) -> None:
    """Replace a file (never write into it: it is shared with the sound runs)."""
    text = path.read_text()
    assert old in text
    path.unlink()
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (change(marks=("simulated",)), "server: it is a simulated run, never a result"),
        (change(engine=None), "server: it is a simulated run, never a result"),
        (change(marks=("short",)), "server: it is a short run; run it without --count"),
        (
            change(status="interrupted", cause="stopped by the user"),
            "server: the run is interrupted (stopped by the user); run it again to its end.",
        ),
        (change(status="failed", cause="it died"), "server: the run is failed (it died)"),
        (drop_accuracy, "server: it has no complete accuracy test; run it with --mode both."),
        (invalid, "server: its performance test is INVALID because latency limits: measured"),
        (missed_gate, "server: rouge1 is 37, must be at least 38.391408: missed by 3.62 %; use a"),
        (change(accuracy=None), "server: its accuracy was not compared with the reference"),
        (change(audits={}), "server: TEST06 is missing; run `enginebench audit` on it."),
        (failed_audit, "server: TEST06 did not pass: INVALID because EOS check"),
        (edited_log, "server: performance/mlperf_log_summary.txt was edited: its digest is not"),
        (edited_figure, "server: performance: tokens_per_s is 98"),
        (edited_scores, "server: accuracy/accuracy.txt does not have the scores of run.json"),
        (foreign_log, "server: other/mlperf_log_detail.txt is not of the run; remove it."),
        (missing_log, "server: accuracy/mlperf_log_summary.txt is missing; restore it"),
        (change(versions={"mlcommons-loadgen": "6.0.5"}), "server: it was run with LoadGen 6.0.5"),
        (
            change(versions=library_versions() | {"enginebench": "0.0.9"}),
            "server: it was run by enginebench 0.0.9, and this is",
        ),
        (
            own_calibration,
            "server: its engine was calibrated on newsbrief, not on the benchmark's calibration",
        ),
        (
            other_weights,
            "server: its engine was not built from the benchmark's weights: those files of my-tune",
        ),
        (without_ecc, "server: GPU 0 (A30) has ECC off; switch it on; then run again."),
        (as_newsbrief, "server: workload newsbrief is no MLPerf benchmark; use --division open."),
        (
            change(engine=engine_manifest("int4_wo")),
            "server is of another engine than offline (recipe.group_size None and 128, "
            "recipe.name int8_wo and int4_wo, recipe.weights int8 and int4)",
        ),
        (
            change(machine=MACHINE.model_copy(update={"cpu": "Other CPU"})),
            "server ran on another machine (cpu Other CPU, not Example CPU 9000)",
        ),
        (
            other_rules,
            "server ran llama3.1-8b under other rules than offline (max_new_tokens); pack runs",
        ),
        (
            change(marks=("no MLPerf scenario",), scenario=Scenario.SINGLE_STREAM, benchmark=None),
            "server: llama3.1-8b has no scenario SingleStream; leave it out.",
        ),
        (other_data, "server is on another dataset than offline; pack runs of llama3.1-8b on the"),
        (change(num_samples=77, benchmark=None), "its 77 samples are not those of any benchmark"),
    ],
)
def test_a_run_that_may_not_be_packed_is_refused_by_reason(
    runs: dict[str, Path], tmp_path: Path, spoil: Callable[[Path], object], reason: str
) -> None:
    spoil(runs["Server"])
    assert reason in refusal(tmp_path, runs["Offline"], runs["Server"])


def test_a_scenario_is_packed_once(runs: dict[str, Path], tmp_path: Path) -> None:
    again = tmp_path / "again"
    shutil.copytree(runs["Offline"], again)
    found = refusal(tmp_path, runs["Offline"], again, runs["Server"])
    assert "offline and again are both Offline; give one of them." in found


def test_every_reason_is_given_at_once(runs: dict[str, Path], tmp_path: Path) -> None:
    edit_record(runs["Offline"], marks=("short",), audits={})
    missed_gate(runs["Server"])
    found = refusal(tmp_path, runs["Offline"], runs["Server"])
    for reason in ("offline: it is a short run", "offline: TEST06 is missing", "server: rouge1"):
        assert reason in found


def test_each_failed_rule_is_a_reason_of_its_own_and_the_cause_comes_first(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    late_and_so_invalid(runs["Server"])
    found = refusal(tmp_path, runs["Offline"], runs["Server"])
    _, cause, follows = found.split("server: its performance test is INVALID because ")
    assert cause.startswith("latency limits: ")
    assert follows.startswith("LoadGen's verdict: ")
    assert follows.endswith("It is late.")


def test_an_audit_that_did_not_end_is_a_reason_whatever_its_verdict(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    passed = Verdict.of([FAILED.model_copy(update={"passed": True})])
    audit = AuditRecord(status="interrupted", cause=None, verdict=passed)
    edit_record(runs["Server"], audits={"TEST06": audit})
    found = refusal(tmp_path, runs["Offline"], runs["Server"])
    assert "server: TEST06 did not pass: INVALID because it is interrupted." in found


def test_a_closed_result_needs_its_scenarios(runs: dict[str, Path], tmp_path: Path) -> None:
    found = refusal(tmp_path, runs["Offline"])
    assert "A closed result of llama3.1-8b needs Server or Interactive too; run it." in found
    assert "needs Offline too" in refusal(tmp_path, runs["Server"], runs["Interactive"])
    pack_runs(tmp_path, runs["Offline"], division="open")


def test_a_scenario_that_the_benchmark_lacks_is_refused_in_open_too(
    runs: dict[str, Path], tmp_path: Path
) -> None:
    as_newsbrief(runs["Offline"])
    edit_record(runs["Offline"], scenario=Scenario.SINGLE_STREAM)
    found = refusal(tmp_path, runs["Offline"], division="open")
    assert "llama3.1-8b, whose rules apply, has no scenario SingleStream in round v6.1" in found
