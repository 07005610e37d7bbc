"""Run folders of engines that do not exist, with the figures that a test wants of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from build_engine.files import write_json
from build_engine.store.manifest import EngineManifest
from harness.loadgen.metrics import Metrics
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.machine.load import MachineLoad
from harness.report.result import Result
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule, Verdict
from harness.runs.limits_record import LimitInputs, LimitsRecord, PartOfLimit
from harness.runs.record import AccuracyRecord, Repeats, TestRecord, TestRecords
from harness.runs.run import Run
from harness.scoring.accuracy import score
from runtime.openvino.spec import OpenVINOSpec
from tests.build_engine.manifests import make_manifest
from tests.harness.dataset.records import make_record
from tests.harness.runs.claims import claim

SENTENCES = (
    "The bridge will open in May.",
    "Rain fell over the whole valley.",
    "The council voted for a new school.",
    "A ferry was late by two hours.",
    "Prices rose again last month.",
)
BUSY = MachineLoad(
    wall_s=10.0, num_cpus=2, ours_s=15.0, others_s=4.0, stolen_s=0.0, load_average=3.0
)
IDLE = BUSY.model_copy(update={"others_s": 0.0})


def make_limits(*parts: PartOfLimit) -> LimitsRecord:
    """What is known of the limits of a run, and how close it came in these parts."""
    inputs = LimitInputs(
        peaks="measured here",
        linear_flops_per_s=4e11,
        other_flops_per_s=4e11,
        step_linear_flops_per_s=3e11,
        step_other_flops_per_s=3e11,
        bytes_per_s=3e10,
        prompt_tokens=200.0,
        answer_tokens=100.0,
        requests=64,
        resident_bytes=100,
        step_bytes=90,
        kv_token_bytes=10.0,
    )
    return LimitsRecord(inputs=inputs, parts=parts)


def make_result(folder: Path, recipe: str = "bf16", **options: Any) -> Result:
    """See `make_run`."""
    return Result.read(make_run(folder, recipe, **options).folder.path)


def make_run(
    folder: Path,
    recipe: str = "bf16",
    *,
    tokens_per_s: Sequence[float] = (1000.0,),
    answers: Sequence[str] | None = None,
    ids: Sequence[Sequence[int]] | None = None,
    scenario: Scenario = Scenario.OFFLINE,
    engine: EngineManifest | None = None,
    qps: float | None = None,
    busy: bool = False,
    peak_bytes: int | None = None,
    num_samples: int = len(SENTENCES),
    latency: dict[str, float] | None = None,
    started_utc: str | None = None,
    broken: str = "",
    **changes: Any,
) -> Run:
    """A complete run: a performance test for each of `tokens_per_s`, and an accuracy test where
    there are `answers` (to `SENTENCES`, over and over) with their `ids`; `broken` is a rule that
    the performance tests break.
    """
    modes: tuple[Mode, ...] = ("performance",) if tokens_per_s else ()
    modes = (*modes, "accuracy") if answers is not None else modes
    known: dict[str, Any] = {
        "modes": modes,
        "num_samples": num_samples,
        "dataset": make_record(num_samples),
        "executor": OpenVINOSpec(folder=Path(f"/engines/{recipe}")),
        "marks": ("demo workload", "short"),
    }
    run = claim(
        folder, scenario=scenario, engine=engine or make_manifest(recipe), **known | changes
    )
    load = BUSY if busy else None
    if peak_bytes is not None:
        load = IDLE.model_copy(update={"engine_peak_bytes": peak_bytes})
    tests = [
        _test(
            "performance",
            scenario,
            qps,
            load,
            tokens_per_s=rate,
            samples_per_s=rate / 10,
            **(latency or {}),
        )
        for rate in tokens_per_s
    ]
    if broken:
        tests = [_breaking(test, broken) for test in tests]
    records = TestRecords(
        performance=tests[0] if tests else None,
        accuracy=None if answers is None else _test("accuracy", scenario, qps, None),
    )
    repeats = Repeats(tests=tuple(tests[1:])) if len(tests) > 1 else None
    accuracy = None if answers is None else _answered(run, answers, ids)
    started = {} if started_utc is None else {"started_utc": started_utc}
    run = run.changed(tests=records, repeats=repeats, accuracy=accuracy, **started)
    return run.ended("complete", None)


def references(count: int) -> list[str]:
    """What the answers are scored against."""
    return [SENTENCES[number % len(SENTENCES)] for number in range(count)]


def _test(
    mode: Mode,
    scenario: Scenario,
    qps: float | None,
    load: MachineLoad | None,
    **metrics: float,
) -> TestRecord:
    plan = LoadgenPlan(
        scenario=scenario,
        mode=mode,
        model="newsbrief",
        num_samples=5,
        min_duration_s=0.0,
        target_qps=qps,
    )
    rule = Rule(name="any", passed=True, measured="1", allowed="1", remedy="none")
    return TestRecord(
        status="complete",
        cause=None,
        plan=plan,
        probe=None,
        last_figures=None,
        verdict=Verdict.of([rule]),
        metrics=Metrics(**metrics),
        load=load,
    )


def _breaking(test: TestRecord, name: str) -> TestRecord:
    rule = Rule(name=name, passed=False, measured="3", allowed="2", remedy="ask for less")
    return test.model_copy(update={"verdict": Verdict.of([*test.verdict.rules, rule])})


def _answered(
    run: Run, answers: Sequence[str], ids: Sequence[Sequence[int]] | None
) -> AccuracyRecord:
    """The files of an accuracy test, and its score."""
    whole = references(len(answers))
    rows = [
        json.dumps({"sample": number, "answer": answer, "reference": reference})
        for number, (answer, reference) in enumerate(zip(answers, whole, strict=True))
    ]
    run.folder.answers.write_text("\n".join(rows) + "\n", encoding="utf-8")
    folder = run.folder.test("accuracy")
    folder.path.mkdir()
    told = ids if ids is not None else [list(answer.encode()) for answer in answers]
    entries = [
        {
            "seq_id": number,
            "qsl_idx": number,
            "data": np.array(each, np.int32).tobytes().hex().upper(),
            "token_count": len(each),
        }
        for number, each in enumerate(told)
    ]
    write_json(folder.answers, entries)
    return AccuracyRecord(scores=score(answers, whole), gates=())
