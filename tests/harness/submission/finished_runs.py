"""Run folders as `execute` leaves them, with LoadGen's own logs, of an engine that does not exist.

Its answers are a time model's, so that the rules on their text are taken as passed. The performance
logs are of full-length tests (see `record_tests.py`), the accuracy and TEST06 logs
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

import numpy as np

from build_engine.files import write_json
from build_engine.store.manifest import EngineManifest
from harness.loadgen.folder import DETAIL, SUMMARY, TestFolder
from harness.loadgen.given import GivenAnswers
from harness.loadgen.job import Job, Probe
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.progress import NullProgress
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule, Verdict
from harness.rules.workload import Workload, load_workload
from harness.runs import scope as planning
from harness.runs.audit import audit_config, verify
from harness.runs.audit_verdict import answers_to_repeat
from harness.runs.caching import ask_again, not_cached
from harness.runs.conditions.content import LANGUAGE_RULES
from harness.runs.folder import AUDIT_TEST
from harness.runs.judging import evidence_of, record_of
from harness.runs.record import (
    AccuracyRecord,
    AuditRecord,
    RunRecord,
    TestRecord,
    TestRecords,
)
from harness.runs.run import Run
from harness.scoring.accuracy import Accuracy, check_gates
from runtime.simulated import SimulatedSpec
from tests.build_engine.manifests import make_manifest
from tests.harness.rehearsal import make_dataset
from tests.harness.runs.claims import claim

ARCHIVE = Path(__file__).parent / "fixtures" / "full_length_tests.tar.xz"
QPS = {  # as recorded
    ("llama3.1-8b", Scenario.OFFLINE): 20.0,
    ("llama3.1-8b", Scenario.SERVER): 21.8,
    ("llama3.1-8b", Scenario.INTERACTIVE): 21.8,
    ("llama3.1-8b-edge", Scenario.OFFLINE): 7.5,
}
PROBE = Probe(load_s=1.0, latency_s=0.25, samples_per_s=20.0)
FAST = Probe(load_s=1.0, latency_s=0.25, samples_per_s=4000.0)


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
    planned = whole_plan(workload, scenario)
    performance, accuracy = run.folder.test("performance"), run.folder.test("accuracy")
    job = _job(run, work, dataset.folder)
    _unpack(name, scenario, performance.path)
    write_json(performance.job, job.to_json())
    fast = scope(workload, scenario).plan("accuracy", FAST)
    _run(job.model_copy(update={"executor": SimulatedSpec()}), fast, accuracy.path)
    write_json(accuracy.job, job.to_json())
    _give(performance, planned.num_queries, workload.num_samples)
    tests = TestRecords(
        performance=_test(performance, planned, PROBE, workload, accuracy),
        accuracy=_test(accuracy, fast, FAST, workload),
    )
    scores = reference_accuracy(workload)
    accuracy.accuracy_txt.write_text(scores.to_accuracy_txt())
    run = run.changed(tests=tests, accuracy=_accuracy(workload, scores))
    assert run.record.accuracy is not None
    write_json(run.folder.accuracy, run.record.accuracy.model_dump(mode="json"))
    write_json(run.folder.dataset, run.record.dataset.to_json())
    write_json(run.folder.workload, workload.model_dump(mode="json"))
    write_json(run.folder.engine, engine_manifest().to_json())
    if load_round("v6.1").benchmark(name).compliance:
        run = add_audit(run, job)
    shutil.rmtree(work)
    return run.ended("complete", None)


def _job(run: Run, work: Path, dataset: Path) -> Job:
    """What LoadGen's process was told, of a dataset that will be gone."""
    record = run.record
    assert record.engine is not None
    return Job(
        executor=record.executor,
        dataset=dataset,
        num_samples=record.num_samples,
        max_new_tokens=record.workload.max_new_tokens,
        min_new_tokens=record.workload.min_new_tokens,
        stop_ids=record.engine.model.config.eos_token_ids,
        warmup_samples=2,
        first_tokens=record.scenario.has_first_tokens,
    )


def _give(folder: TestFolder, count: int, num_samples: int) -> None:
    """What a time model gives for `count` answers, a token at a time."""
    ids = np.arange(100, 228, dtype=np.int32)
    GivenAnswers.of(
        [(i % num_samples, 0.1, 0.1 + 127 * 0.01, 128) for i in range(count)],
        [ids] * count,
        [(0.01, 1)] * count,
    ).save(folder.given)
    write_json(folder.token_counts, [128] * count)


def scope(workload: Workload, scenario: Scenario) -> planning.RunScope:
    """How much a whole run covers."""
    return planning.RunScope(
        workload=workload,
        scenario=scenario,
        num_samples=workload.num_samples,
        qps=QPS.get((workload.name, scenario)),
    )


def whole_plan(workload: Workload, scenario_name: Scenario) -> LoadgenPlan:
    """The performance test of a whole run."""
    return scope(workload, scenario_name).plan("performance", PROBE)


def add_audit(run: Run, job: Job) -> Run:
    """TEST06 and the test of caching, at a rate that takes a moment."""
    chosen, folder = load_round("v6.1"), run.folder.audit(AUDIT_TEST)
    performance = run.record.tests.performance
    assert performance is not None and performance.plan is not None
    folder.accuracy.path.mkdir(parents=True)
    folder.audit_config.write_text(audit_config(chosen.compliance_tests[AUDIT_TEST]))
    model = job.model_copy(update={"executor": SimulatedSpec(samples_per_s=400.0)})
    quick = performance.plan
    if quick.target_qps is not None:
        quick = replace(quick, target_qps=1000.0)
    _run(model, quick, folder.path, folder.audit_config)
    mode, others = answers_to_repeat(run)
    verdict = verify(folder, quick, chosen, job, None, others, mode)
    given = GivenAnswers.load(run.folder.test("performance").given)
    assert ask_again(folder.path, model, quick, given, NullProgress()) is None
    verdict = Verdict.of((*verdict.rules, not_cached(folder.path)))
    assert verdict.valid, verdict.sentence
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


def _test(
    folder: TestFolder,
    planned: LoadgenPlan,
    probe: Probe,
    workload: Workload,
    accuracy: TestFolder | None = None,
) -> TestRecord:
    """The part of run.json about one test, as the harness makes it."""
    others = GivenAnswers.load(accuracy.given).by_sample if accuracy else None
    evidence = evidence_of(folder, planned, probe, workload, load_round("v6.1"), None, others)
    record = record_of(evidence, probe, None, None)
    passed = [
        Rule(name=name, passed=True, measured="none", allowed="none", remedy="none")
        for name in sorted(LANGUAGE_RULES)
    ]
    assert record.verdict.valid, record.verdict.sentence
    return record.model_copy(update={"verdict": Verdict.of([*record.verdict.rules, *passed])})


def _accuracy(workload: Workload, scores: Accuracy) -> AccuracyRecord:
    assert workload.accuracy is not None
    return AccuracyRecord(scores=scores, gates=tuple(check_gates(scores, workload.accuracy)))


def edit_record(folder: Path, **changes: Any) -> RunRecord:
    """Change fields of a run.json, as a run that went otherwise would have written them."""
    run = Run.read(folder)
    record = run.record.model_copy(update=changes).sealed()
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
