"""Run folders as `execute` leaves them, with LoadGen's own logs, of an engine that does not exist.

The performance logs are of full-length tests (see `record_tests.py`), the accuracy and TEST06 logs
are made when asked for; run.json says that an engine on a CPU did it, at the reference's ROUGE.
"""

from __future__ import annotations

import lzma
import shutil
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

from build_engine.files import write_json
from build_engine.store.manifest import EngineManifest
from harness.loadgen import logs
from harness.loadgen.folder import DETAIL, SUMMARY, TestFolder
from harness.loadgen.job import Job, Probe
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.progress import NullProgress
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import Workload, load_workload
from harness.runs import scope as planning
from harness.runs.audit import audit_config, verify
from harness.runs.evidence import Evidence
from harness.runs.folder import AUDIT_TEST
from harness.runs.record import (
    AccuracyRecord,
    AuditRecord,
    PrimaryResult,
    RunRecord,
    TestRecord,
    TestRecords,
)
from harness.runs.run import Run
from harness.runs.verdict import judge
from harness.scoring.accuracy import Accuracy, check_gates
from tests.build_engine.manifests import make_manifest
from tests.harness.rehearsal import make_dataset, make_job
from tests.harness.runs.claims import claim

ARCHIVE = Path(__file__).parent / "fixtures" / "full_length_tests.tar.xz"
QPS = {  # as recorded
    ("llama3.1-8b", Scenario.OFFLINE): 20.0,
    ("llama3.1-8b", Scenario.SERVER): 21.8,
    ("llama3.1-8b", Scenario.INTERACTIVE): 21.8,
    ("llama3.1-8b-edge", Scenario.OFFLINE): 7.5,
}
_STOP_ID = 128009


def reference_accuracy(workload: Workload) -> Accuracy:
    """What the reference model scores, so that every gate is passed."""
    assert workload.accuracy is not None
    scores: dict[str, Any] = {str(k): v for k, v in workload.accuracy.reference.items()}
    return Accuracy(**scores | {"gen_len": int(scores["gen_len"])}, gen_num=workload.num_samples)


def engine_manifest(recipe: str = "int8_wo") -> EngineManifest:
    """An engine.json of the benchmark's own weights."""
    model = load_workload("llama3.1-8b").model
    assert model is not None
    name = "Llama-3.1-8B-Instruct"
    return make_manifest(recipe, name=name, source=f"/models/{name}", weights=model.weights)


def make_run(folder: Path, name: str, scenario: Scenario) -> Run:
    """A complete, valid, audited run of a benchmark, in `folder`."""
    workload = load_workload(name)
    run = claim(folder, workload, scenario, engine_manifest())
    work = folder.with_name(f"{folder.name}-work")
    dataset = make_dataset(work / "dataset", workload.num_samples)
    job = make_job(dataset).model_copy(update={"stop_ids": (_STOP_ID,)})
    planned = whole_plan(workload, scenario)
    performance, accuracy = run.folder.test("performance"), run.folder.test("accuracy")
    _unpack(name, scenario, performance.path)
    fast = replace(planned, mode="accuracy", target_qps=4000.0)
    _run(job, fast, accuracy.path)
    tests = TestRecords(
        performance=_test(performance, planned, workload, planned.num_queries),
        accuracy=_test(accuracy, fast, workload, workload.num_samples),
    )
    scores = reference_accuracy(workload)
    accuracy.accuracy_txt.write_text(scores.to_accuracy_txt())
    shutil.rmtree(work)
    run = run.changed(tests=tests, accuracy=_accuracy(workload, scores))
    if load_round("v6.1").benchmark(name).compliance:
        run = add_audit(run, replace(planned, target_qps=1000.0), work / "again")
    return run.ended("complete", None)


def whole_plan(workload: Workload, scenario_name: Scenario) -> LoadgenPlan:
    """The performance test of a whole run."""
    scope = planning.RunScope(
        workload=workload,
        scenario=scenario_name,
        num_samples=workload.num_samples,
        qps=QPS.get((workload.name, scenario_name)),
    )
    return scope.plan("performance", Probe(load_s=1.0, latency_s=0.25, samples_per_s=20.0))


def add_audit(run: Run, planned: LoadgenPlan, work: Path) -> Run:
    """TEST06, at a rate that takes a moment."""
    chosen, folder = load_round("v6.1"), run.folder.audit(AUDIT_TEST)
    folder.accuracy.path.mkdir(parents=True)
    folder.audit_config.write_text(audit_config(chosen.compliance_tests[AUDIT_TEST]))
    dataset = make_dataset(work, planned.num_samples)
    job = make_job(dataset).model_copy(update={"stop_ids": (_STOP_ID,)})
    _run(job, planned, folder.path, folder.audit_config)
    verdict = verify(folder, planned, chosen, job)
    assert verdict.valid, verdict.sentence
    shutil.rmtree(work.parent)
    return run.changed(
        audits={AUDIT_TEST: AuditRecord(status="complete", cause=None, verdict=verdict)}
    )


def _run(job: Job, planned: LoadgenPlan, folder: Path, config: Path | None = None) -> None:
    folder.mkdir(exist_ok=True)
    outcome = run_test(job, lambda probe: planned, folder, NullProgress(), audit_config=config)
    assert outcome.status == "complete", outcome.cause


def _unpack(name: str, scenario_name: str, folder: Path) -> None:
    folder.mkdir()
    with tarfile.open(fileobj=BytesIO(lzma.decompress(ARCHIVE.read_bytes()))) as archive:
        for part in (DETAIL, SUMMARY, "user.conf"):
            member = archive.extractfile(f"./{name}/{scenario_name}/{part}")
            assert member is not None
            (folder / part).write_bytes(member.read())


def _test(folder: TestFolder, planned: LoadgenPlan, workload: Workload, count: int) -> TestRecord:
    """The part of run.json about one test, as the harness makes it."""
    detail = logs.read_detail(folder.path)
    evidence = Evidence(
        plan=planned,
        log=detail,
        token_counts=[128] * count,
        workload=workload,
        round=load_round("v6.1"),
        answers=logs.read_answers(folder.path) if planned.mode == "accuracy" else (),
        summary_differences=logs.summary_differences(folder.path, detail),
    )
    verdict = judge(evidence)
    assert verdict.valid, verdict.sentence
    return TestRecord(
        status="complete",
        cause=None,
        plan=planned,
        probe=None,
        last_figures=None,
        metrics=detail.metrics(),
        primary=PrimaryResult.of(evidence.limits.metric, detail),
        verdict=verdict,
    )


def _accuracy(workload: Workload, scores: Accuracy) -> AccuracyRecord:
    assert workload.accuracy is not None
    return AccuracyRecord(scores=scores, gates=tuple(check_gates(scores, workload.accuracy)))


def edit_record(folder: Path, **changes: Any) -> RunRecord:
    """Change fields of a run.json, as a run that went otherwise would have written them."""
    run = Run.read(folder)
    record = run.record.model_copy(update=changes)
    write_json(run.folder.record, record.to_json())
    return record


def as_newsbrief(folder: Path) -> None:
    """Make it a run of the bundled workload, which is no benchmark."""
    accuracy = Run.read(folder).record.accuracy
    assert accuracy is not None
    edit_record(
        folder,
        workload=load_workload("newsbrief"),
        benchmark=None,
        marks=("demo workload",),
        accuracy=AccuracyRecord(scores=accuracy.scores, gates=()),
    )
