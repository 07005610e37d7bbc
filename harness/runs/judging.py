"""From the files of a completed test to what is recorded of it: the run writes it, and whoever
doubts a run makes it again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from build_engine.files import read_json
from harness.loadgen import logs
from harness.loadgen.given import GivenAnswers
from harness.runs.evidence import Evidence
from harness.runs.record import LoadgenRecord, PrimaryResult, TestRecord
from harness.runs.verdict import judge

if TYPE_CHECKING:
    from harness.figures import ProgressFigures
    from harness.loadgen.folder import TestFolder
    from harness.loadgen.job import Probe
    from harness.loadgen.settings import LoadgenPlan
    from harness.machine.load import MachineLoad
    from harness.rules.rounds import Round
    from harness.rules.workload import Workload
    from harness.runs.reading import Language
    from runtime.executor import TokenIds


def evidence_of(
    folder: TestFolder,
    plan: LoadgenPlan,
    probe: Probe,
    workload: Workload,
    chosen: Round,
    language: Language | None,
    others: Mapping[int, TokenIds] | None = None,
) -> Evidence:
    """What a completed test left in `folder`. Raises RunFailed for a file that is missing or
    broken.
    """
    detail = logs.read_detail(folder.path)
    counts: list[int] = read_json(folder.token_counts, RunFailed, "run again")
    return Evidence(
        plan=plan,
        log=detail,
        token_counts=counts,
        workload=workload,
        round=chosen,
        answers=logs.read_answers(folder.path) if plan.mode == "accuracy" else (),
        summary_differences=logs.summary_differences(folder.path, detail),
        prefix_caching=probe.prefix_caching,
        given=GivenAnswers.load(folder.given),
        language=language,
        others=others or {},
    )


def record_of(
    evidence: Evidence, probe: Probe, figures: ProgressFigures | None, load: MachineLoad | None
) -> TestRecord:
    """The record of a completed test; `figures` are the last that were shown while it went on,
    `load` is the machine's meanwhile.
    """
    log = evidence.log
    return TestRecord(
        status="complete",
        cause=None,
        plan=evidence.plan,
        probe=probe,
        last_figures=figures,
        metrics=log.metrics(),
        primary=PrimaryResult.of(evidence.limits.metric, log),
        loadgen=LoadgenRecord(
            version=log.full_version,
            validity=log.validity,
            errors=log.errors,
            warnings=log.warnings,
        ),
        verdict=judge(evidence),
        load=load,
    )
