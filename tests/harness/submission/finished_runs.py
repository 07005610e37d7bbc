"""Run folders as `execute` leaves them, with LoadGen's own logs, of an engine that does not exist.

The performance logs are of full-length tests (see `record_tests.py`), the accuracy and TEST06 logs
are made when asked for; run.json says that an engine on a CPU did it, at the reference's ROUGE.
"""

from __future__ import annotations

import json
import lzma
import shutil
import tarfile
from dataclasses import asdict, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from harness.loadgen import logs
from harness.loadgen.folder import DETAIL, SUMMARY
from harness.loadgen.job import Job, Probe
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import run_test
from harness.machine.facts import MachineFacts, library_versions
from harness.progress import NullProgress
from harness.rules.rounds import load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import Workload, load_workload
from harness.runs import scope as planning
from harness.runs.audit import TEST, audit_config, verify
from harness.runs.evidence import Evidence
from harness.runs.record import RunRecord
from harness.runs.verdict import judge, primary_result
from harness.scoring.accuracy import Accuracy, check_gates
from tests.build_engine.manifests import make_manifest
from tests.harness.dataset.records import make_record
from tests.harness.rehearsal import make_dataset, make_job

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


def engine_manifest(recipe: str = "int8_wo") -> dict[str, Any]:
    """An engine.json of the benchmark's own weights."""
    model = load_workload("llama3.1-8b").model
    assert model is not None
    name = "Llama-3.1-8B-Instruct"
    source = f"/models/{name}"
    return make_manifest(recipe, name=name, source=source, weights=model.weights).to_json()


def make_run(folder: Path, name: str, scenario_name: Scenario) -> RunRecord:
    """A complete, valid, audited run of a benchmark, in `folder`."""
    workload = load_workload(name)
    record = RunRecord.create(folder, _description(workload, scenario_name))
    work = folder.with_name(f"{folder.name}-work")
    dataset = make_dataset(work / "dataset", workload.num_samples)
    job = make_job(dataset).model_copy(update={"stop_ids": (_STOP_ID,)})
    planned = whole_plan(workload, scenario_name)
    _unpack(name, scenario_name, folder / "performance")
    tests = {"performance": _test(folder / "performance", planned, workload, planned.num_queries)}
    fast = replace(planned, mode="accuracy", target_qps=4000.0)
    _run(job, fast, folder / "accuracy")
    tests["accuracy"] = _test(folder / "accuracy", fast, workload, workload.num_samples)
    scores = reference_accuracy(workload)
    (folder / "accuracy" / "accuracy.txt").write_text(scores.to_accuracy_txt())
    shutil.rmtree(work)
    record.save(tests=tests, accuracy=_accuracy(workload, scores))
    if load_round("v6.1").benchmark(name).compliance:
        add_audit(record, replace(planned, target_qps=1000.0), work / "again")
    record.end("complete", None)
    return record


def whole_plan(workload: Workload, scenario_name: Scenario) -> LoadgenPlan:
    """The performance test of a whole run."""
    scope = planning.RunScope(
        workload=workload,
        scenario=scenario_name,
        num_samples=workload.num_samples,
        qps=QPS.get((workload.name, scenario_name)),
    )
    return scope.plan("performance", Probe(load_s=1.0, latency_s=0.25, samples_per_s=20.0))


def add_audit(record: RunRecord, planned: LoadgenPlan, work: Path) -> None:
    """TEST06, at a rate that takes a moment."""
    chosen = load_round("v6.1")
    folder = record.folder / TEST
    (folder / "accuracy").mkdir(parents=True)
    config = folder / "audit.config"
    config.write_text(audit_config(chosen.compliance_tests[TEST]))
    dataset = make_dataset(work, planned.num_samples)
    job = make_job(dataset).model_copy(update={"stop_ids": (_STOP_ID,)})
    _run(job, planned, folder, config)
    verdict = verify(folder, planned, chosen, job)
    assert verdict.valid, verdict.sentence
    audits = {
        TEST: {"status": "complete", "cause": None, "verdict": verdict.model_dump(mode="json")}
    }
    record.save(audits=audits)
    shutil.rmtree(work.parent)


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


def _test(folder: Path, planned: LoadgenPlan, workload: Workload, count: int) -> dict[str, Any]:
    """The part of run.json about one test, as the harness makes it."""
    detail = logs.read_detail(folder)
    evidence = Evidence(
        plan=planned,
        log=detail,
        token_counts=[128] * count,
        workload=workload,
        round=load_round("v6.1"),
        answers=logs.read_answers(folder) if planned.mode == "accuracy" else (),
        summary_differences=logs.summary_differences(folder, detail),
    )
    verdict = judge(evidence)
    assert verdict.valid, verdict.sentence
    return {
        "status": "complete",
        "cause": None,
        "plan": asdict(planned),
        "metrics": detail.metrics(),
        "primary": primary_result(evidence.limits.metric, detail),
        "verdict": verdict.model_dump(mode="json"),
    }


def _accuracy(workload: Workload, scores: Accuracy) -> dict[str, Any]:
    assert workload.accuracy is not None
    gates = check_gates(scores, workload.accuracy)
    return {
        "scores": asdict(scores),
        "gates": [{**asdict(g), "passed": g.passed, "sentence": str(g)} for g in gates],
    }


def _description(workload: Workload, scenario_name: str) -> dict[str, Any]:
    return {
        "marks": [],
        "round": "v6.1",
        "workload": workload.name,
        "workload_rules": workload.model_dump(mode="json"),
        "benchmark": workload.benchmark,
        "scenario": scenario_name,
        "modes": ["performance", "accuracy"],
        "num_samples": workload.num_samples,
        "dataset": make_record(
            workload.num_samples,
            workload=workload.name,
            benchmark=workload.benchmark,
            source="cnn_eval.json",
            source_kind="official",
            digest="d" * 64,
        ).to_json(),
        "engine": engine_manifest(),
        "engine_folder": "/engines/int8_wo",
        "executor": {"kind": "openvino"},
        "machine": MachineFacts(
            host="example",
            cpu="Example CPU 9000",
            num_cpus=64,
            memory_gib=251.6,
            operating_system="Debian GNU/Linux 13",
            kernel="6.12",
            python="3.11.7",
        ).model_dump(mode="json"),
        "system": {
            "fields": {
                "status": "FILL IN: available, preview or rdi",
                "host_processor_model_name": "Example CPU 9000",
                "host_memory_capacity": "251.6 GiB",
                "cooling": "FILL IN: air, liquid or passive",
                "operating_system": "Debian GNU/Linux 13, Linux 6.12",
                "other_software_stack": "Python 3.11.7",
                "accelerators_per_node": "0",
                "accelerator_model_name": "N/A",
                "accelerator_memory_capacity": "N/A",
                "accelerator_host_interconnect": "N/A",
                "accelerator_memory_configuration": "N/A",
                "accelerator_interconnect": "N/A",
                "hw_notes": "",
            },
            "closed_problems": [],
        },
        "versions": library_versions(),
        "tests": {},
        "accuracy": None,
    }


def edit_record(folder: Path, **changes: Any) -> None:
    """Change fields of a run.json, as a run that went otherwise would have written them.

    The file is replaced: a copied run shares its files with the sound one.
    """
    path = folder / "run.json"
    content = json.loads(path.read_text()) | changes
    path.unlink()
    path.write_text(json.dumps(content))


def as_newsbrief(folder: Path) -> None:
    """Make it a run of the bundled workload, which is no benchmark."""
    edit_record(
        folder,
        workload="newsbrief",
        benchmark=None,
        marks=["demo workload"],
        accuracy={
            "scores": json.loads((folder / "run.json").read_text())["accuracy"]["scores"],
            "gates": [],
        },
    )
