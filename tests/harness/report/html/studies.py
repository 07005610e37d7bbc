"""Folders of runs to report on: of engines that do not exist, with every file that a report reads,
and with text in every field that a page must not take for markup.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from build_engine.files import write_json
from build_engine.store.manifest import EngineManifest
from harness.loadgen.given import GivenAnswers
from harness.loadgen.replicas import ReplicaLoads
from harness.rules.scenario import Scenario
from harness.runs.run import Run
from harness.studies.record import Point, StudyRecord
from harness.studies.scaling import RECORD, ScalingRecord, ScalingStep, efficiency
from runtime.executor import HeadLoad, ReplicaLoad
from runtime.openvino.spec import OpenVINOSpec
from runtime.replicas.spec import ReplicasSpec
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.figures import make_figures
from tests.harness.report.results import SENTENCES, make_run, references
from tests.harness.runs.claims import MACHINE

HOSTILE = (
    "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7*7 }}</style></svg>\x1b\u202e"
)
NUM_SAMPLES = 40
_RATES = {"bf16": 1000.0, "int8_wo": 1200.0, "int4_wo": 1400.0}


def make_study(folder: Path, *, hostile: bool = False) -> Path:
    """bf16, int8_wo (faster, as good) and int4_wo (faster still, much worse), each in Offline and
    Server; a point that failed; with `hostile` text wherever a record has room for it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in _RATES:
        for scenario in (Scenario.OFFLINE, Scenario.SERVER):
            make_measured(folder / f"{recipe}-{scenario.lower()}", recipe, scenario, hostile)
    failed = Point(
        engine=HOSTILE if hostile else "int4_awq",
        target="cpu",
        recipe="int4_awq",
        emulated=False,
        scenario=Scenario.OFFLINE,
        repeat=1,
        status="failed",
        cause=f"The engine died. {HOSTILE if hostile else ''}",
    )
    StudyRecord(
        schema_version=StudyRecord.SCHEMA,
        command="enginebench sweep --model newsbrief",
        started_utc="2026-01-01T00:00:00+00:00",
        points=(failed,),
    ).write(folder)
    return folder


def make_measured(
    folder: Path, recipe: str, scenario: Scenario, hostile: bool = False, rate: float | None = None
) -> Run:
    """One run with times of each answer and a timeline; Offline is scored."""
    fast = rate or _RATES[recipe]
    offline = scenario.all_at_once
    changes: dict[str, Any] = {"engine": _engine(recipe, hostile)}
    if hostile:
        changes |= {
            "command": f"enginebench run --model '{HOSTILE}'",
            "machine": MACHINE.model_copy(
                update={"host": HOSTILE, "cpu": HOSTILE, "operating_system": HOSTILE}
            ),
            "versions": {"mlcommons-loadgen": "6.0.17", HOSTILE: HOSTILE},
        }
    run = make_run(
        folder,
        recipe,
        scenario=scenario,
        tokens_per_s=(fast, fast * 1.01, fast * 0.99) if offline else (fast / 2,),
        answers=_answers(recipe, hostile) if offline else None,
        qps=None if offline else 4.0,
        latency=None if offline else _latency(fast),
        peak_bytes=round(4e8 / (fast / 1000)),
        num_samples=NUM_SAMPLES,
        **changes,
    )
    _write_given(run, fast)
    _write_timeline(run, fast)
    return run


def _engine(recipe: str, hostile: bool) -> EngineManifest:
    model = {"name": HOSTILE, "source": HOSTILE} if hostile else {}
    engine = make_manifest(recipe, **model)
    if not hostile:
        return engine
    precision = engine.precision.model_copy(
        update={"weights": HOSTILE, "activations": HOSTILE, "kv_cache": HOSTILE, "note": HOSTILE}
    )
    return engine.model_copy(update={"precision": precision})


def _answers(recipe: str, hostile: bool) -> list[str]:
    """As the references have them, but for int8_wo, which errs once, and int4_wo, in most."""
    texts = references(NUM_SAMPLES)
    other = SENTENCES[1:] + SENTENCES[:1]
    wrong = {"bf16": 0, "int8_wo": 1, "int4_wo": 30}[recipe]
    for sample in range(wrong):
        begun = texts[sample].rpartition(" ")[0]
        texts[sample] = begun if wrong == 1 else f"{begun} {other[sample % len(other)]}"
        if hostile:
            texts[sample] = f"{HOSTILE} {texts[sample]}"
    return texts


def _latency(fast: float) -> dict[str, float]:
    slow = 1000 / fast
    return {
        **{f"ttft_{p}_s": slow * t for p, t in (("p50", 0.02), ("p90", 0.04), ("p99", 0.06))},
        **{f"tpot_{p}_s": slow * t for p, t in (("p50", 0.001), ("p90", 0.002), ("p99", 0.004))},
        **{f"latency_{p}_s": slow * t for p, t in (("p50", 0.1), ("p90", 0.2), ("p99", 0.3))},
    }


def _write_given(run: Run, fast: float) -> None:
    """The files of the performance test, with the digests that go with them."""
    ttft_s = np.linspace(0.01, 0.06, NUM_SAMPLES) * 1000 / fast
    lengths = np.full(NUM_SAMPLES, 20, np.int32)
    given = GivenAnswers(
        samples=np.arange(NUM_SAMPLES, dtype=np.int32),
        lengths=lengths,
        ids=np.zeros(int(lengths.sum()), np.int32),
        ttft_s=ttft_s,
        second_s=ttft_s,
        latency_s=ttft_s * 3,
        burst=np.ones(NUM_SAMPLES, np.int32),
    )
    folder = run.folder.test("performance")
    folder.path.mkdir(exist_ok=True)
    given.save(folder.given)
    run.changed(files=run.folder.digests())


def _write_timeline(run: Run, fast: float) -> None:
    lines = [
        {
            "test": "performance",
            **asdict(
                make_figures(
                    elapsed_s=second / 2,
                    tokens=round(fast * second / 2),
                    prompt_tokens=round(5 * fast * second / 2),
                    active=8 - second % 3,
                    queued=max(0, 20 - second),
                    kv_blocks_used=10 * second,
                    kv_blocks_total=400,
                )
            ),
        }
        for second in range(1, 31)
    ]
    run.folder.progress.write_text("".join(f"{json.dumps(line)}\n" for line in lines))


def make_many(folder: Path, num_runs: int) -> Path:
    """As many candidates: of one recipe, each with another engine."""
    for number in range(num_runs):
        answers = _answers("int4_wo", hostile=False)
        run = make_run(
            folder / f"run-{number:02}",
            "int8_wo",
            engine=resealed(make_manifest("int8_wo"), checkpoint=f"{number:064x}"),
            tokens_per_s=(1000.0 + number, 1010.0 + number),
            answers=answers if number else references(NUM_SAMPLES),
            num_samples=NUM_SAMPLES,
        )
        _write_given(run, 1000.0)
        _write_timeline(run, 1000.0)
    return folder


def make_scaled(
    folder: Path,
    counts: Sequence[int] = (1, 2, 4),
    node: str = "node-{} (10.0.0.{})",
    *,
    with_head: bool = True,
) -> Path:
    """A scaling study in which every further replica brings nine tenths of the one before; the
    first machine is twice as fast as the others.
    """
    steps: list[ScalingStep] = []
    for count in counts:
        rate = 1000.0 * sum(0.9**number for number in range(count))
        place = folder / f"replicas-{count}"
        make_replicated(place, count, rate, node, with_head=with_head)
        first = (steps[0].tokens_per_s, steps[0].replicas) if steps else (rate, count)
        steps.append(
            ScalingStep(
                replicas=count,
                folder=place.name,
                status="complete",
                cause=None,
                tokens_per_s=rate,
                efficiency=efficiency((rate, count), first),
                loads=(),  # a report reads those of the runs
            )
        )
    record = ScalingRecord(command="enginebench scaling --model newsbrief", steps=tuple(steps))
    write_json(folder / RECORD, record.to_json())
    return folder


def make_replicated(
    place: Path,
    count: int,
    rate: float,
    node: str = "node-{} (10.0.0.{})",
    *,
    with_head: bool = True,
) -> Run:
    """One run with so many replicas, and what each of them did."""
    each = OpenVINOSpec(folder=Path("/engines/int8_wo"))
    run = make_run(
        place,
        "int8_wo",
        tokens_per_s=(rate,),
        executor=ReplicasSpec(each=(each,), count=count, device="cores", cores_each=1),
        num_samples=NUM_SAMPLES,
    )
    loads = [
        ReplicaLoad(
            number=number,
            node=node.format(number, number),
            device=f"CPU {number}",
            requests=80 if number == 1 else 40,
            prompt_tokens=8000 if number == 1 else 4000,
            tokens=2000 if number == 1 else 1000,
            busy_s=2.0 if number < count or count == 1 else 1.9,
            dispatch_p99_s=0.001 * number,
        )
        for number in range(1, count + 1)
    ]
    test = run.folder.test("performance")
    test.path.mkdir(exist_ok=True)
    head = HeadLoad(2.0, 0.01 * count, 0.03 * count, 0.01 * count, 0.08, 0.1, 1000)
    ReplicaLoads(replicas=tuple(loads), head=head if with_head else None).write(test.replicas)
    return run.changed(files=run.folder.digests())
