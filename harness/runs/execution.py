"""One run: an engine, a workload, a scenario, and one or both of LoadGen's modes, in a folder of
its own.

Each mode is a LoadGen test in its own process. What is measured comes from LoadGen's logs, what is
judged goes by named rules, and the record on disk is true at every moment.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine import recipe
from build_engine.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RESULT,
    EnginebenchError,
)
from harness.loadgen import logs
from harness.loadgen.installed import require_loadgen
from harness.loadgen.job import Job
from harness.loadgen.supervise import Outcome, run_test
from harness.machine.facts import library_versions, machine_facts
from harness.machine.system import detect_system
from harness.runs.evidence import Evidence
from harness.runs.record import ProgressLog, RunRecord, cannot_write
from harness.runs.verdict import judge, judge_unfinished, primary_result
from runtime.backend import backend
from runtime.spec import ExecutorSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.loadgen.job import Probe
    from harness.loadgen.logs import LoggedAnswer
    from harness.loadgen.settings import LoadgenPlan, Mode
    from harness.progress import Progress
    from harness.runs.scope import RunScope


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """What to run. `engine` is None for a simulated executor."""

    scope: RunScope
    modes: Sequence[Mode]
    dataset: Dataset
    engine: Engine | None
    executor: ExecutorSpec
    folder: Path

    @property
    def marks(self) -> list[str]:
        """What keeps this from being a benchmark result; shown wherever the run is."""
        benchmark = self.scope.workload.benchmark is not None
        found = {
            "simulated": not backend(self.executor.backend).measured,
            "demo workload": not benchmark,
            "changed recipe": bool(self.engine and recipe.changes(self.engine.identity.recipe)),
            "changed workload": benchmark and not self.scope.unchanged,
            "no MLPerf scenario": benchmark and self.scope.unchanged and not self.scope.official,
            "other data": benchmark and self.dataset.benchmark is None,
            "short": self.scope.trial,
        }
        return [mark for mark, holds in found.items() if holds]


@dataclass(frozen=True, slots=True)
class Run:
    """A run that has ended: its record, and the exit code that says how."""

    folder: Path
    content: dict[str, Any]

    @property
    def exit_code(self) -> int:
        """As the command line gives it."""
        if self.content["status"] == "interrupted":
            return EXIT_INTERRUPTED
        if self.content["status"] == "failed":
            return int(self.content.get("exit_code", EXIT_FAILED))
        tests = self.content["tests"].values()
        valid = all(test["verdict"]["valid"] for test in tests)
        gates = (self.content.get("accuracy") or {}).get("gates", [])
        return EXIT_OK if valid and all(gate["passed"] for gate in gates) else EXIT_RESULT


def execute(request: RunRequest, progress: Progress) -> Run:
    """Run every mode that was asked for, stopping at the first that does not complete.

    Raises EnvironmentFault (a LoadGen of another round), RunExists and OutputError before anything
    runs; after that the returned Run says how it went.
    """
    require_loadgen(request.scope.round)
    record = RunRecord.create(request.folder, _describe(request))
    for mode in request.modes:
        try:
            outcome = _run_mode(request, mode, record, progress)
        except EnginebenchError as error:  # LoadGen's logs or the disk; the record says so
            outcome = Outcome("failed", str(error), None, None, exit_code=error.exit_code)
        except OSError as error:  # a full disk, for the most part
            fault = cannot_write(request.folder, error)
            outcome = Outcome("failed", str(fault), None, None, exit_code=fault.exit_code)
        except KeyboardInterrupt:  # between the tests, or while scoring
            outcome = Outcome("interrupted", "stopped by the user", None, None)
        except Exception as error:  # our own mistake: told as such, and the record is true
            _end(record, Outcome("failed", f"{type(error).__name__}: {error}", None, None))
            raise
        if outcome.status != "complete":
            break
    _end(record, outcome)
    return Run(request.folder, record.content)


def _end(record: RunRecord, outcome: Outcome) -> None:
    if outcome.status == "failed":
        record.save(exit_code=outcome.exit_code)
    record.end(outcome.status, outcome.cause)


def _run_mode(request: RunRequest, mode: Mode, record: RunRecord, progress: Progress) -> Outcome:
    scope = request.scope
    folder = request.folder / mode
    try:
        folder.mkdir()
    except OSError as error:
        raise cannot_write(folder, error) from None
    progress.phase(f"{scope.scenario}, {mode}: loading the engine and warming up")

    def make_plan(probe: Probe) -> LoadgenPlan:
        plan = scope.plan(mode, probe)
        progress.phase(f"{scope.scenario}, {mode}: {scope.announcement(plan, probe)}")
        return plan

    progress_log = ProgressLog(request.folder, mode)
    outcome = run_test(_job(request), make_plan, folder, progress, on_figures=progress_log.append)
    test: dict[str, Any] = {
        "status": outcome.status,
        "cause": outcome.cause,
        "plan": dataclasses.asdict(outcome.plan) if outcome.plan else None,
        "probe": dataclasses.asdict(outcome.probe) if outcome.probe else None,
        "last_figures": dataclasses.asdict(outcome.figures) if outcome.figures else {},
        "verdict": judge_unfinished(outcome.cause).model_dump(mode="json"),
    }
    answers: list[LoggedAnswer] = []
    if outcome.status == "complete":
        if mode == "accuracy":
            answers = logs.read_answers(folder)
        test |= _measured(request, outcome, folder, answers)
    record.save(tests={**record.content["tests"], mode: test})
    if outcome.status == "complete" and mode == "accuracy" and request.engine is not None:
        progress.phase(f"{scope.scenario}, accuracy: scoring {len(answers):,} answers")
        record.save(accuracy=_score(request, request.engine, folder, answers))
    return outcome


def _measured(
    request: RunRequest, outcome: Outcome, folder: Path, answers: list[LoggedAnswer]
) -> dict[str, Any]:
    """What LoadGen's logs of a completed test say, and the verdict on it."""
    plan, probe = outcome.plan, outcome.probe
    assert plan is not None and probe is not None, "a complete test had both"
    detail = logs.read_detail(folder)
    evidence = Evidence(
        plan=plan,
        log=detail,
        token_counts=_token_counts(folder),
        workload=request.scope.workload,
        round=request.scope.round,
        answers=answers,
        summary_differences=logs.summary_differences(folder, detail),
        prefix_caching=probe.prefix_caching,
    )
    return {
        "metrics": detail.metrics(),
        "primary": primary_result(evidence.limits.metric, detail),
        "loadgen": {
            "version": detail.values["loadgen_version"],
            "validity": detail.validity,
            "errors": list(detail.errors),
            "warnings": list(detail.warnings),
        },
        "verdict": judge(evidence).model_dump(mode="json"),
    }


def _job(request: RunRequest) -> Job:
    workload = request.scope.workload
    return Job(
        executor=request.executor,
        dataset=request.dataset.folder,
        num_samples=request.scope.num_samples,
        max_new_tokens=workload.max_new_tokens,
        min_new_tokens=workload.min_new_tokens,
        stop_ids=request.engine.stop_ids if request.engine else (),
        warmup_samples=request.scope.warmup_samples,
    )


def _token_counts(folder: Path) -> list[int]:
    """Tokens of each answer, as the process counted them when it handed them to LoadGen."""
    counts: list[int] = json.loads((folder / "token_counts.json").read_text(encoding="utf-8"))
    return counts


def _score(
    request: RunRequest, engine: Engine, folder: Path, answers: list[LoggedAnswer]
) -> dict[str, Any]:
    """ROUGE of the answers that LoadGen logged, the gates where the whole dataset was answered, and
    accuracy.txt.
    """
    from build_engine.checkpoint.tokenizer import Tokenizer
    from harness.scoring.accuracy import check_gates, score_answers

    accuracy = score_answers(
        logs.first_answers(answers),
        request.dataset.references(),
        Tokenizer.load(engine.folder),
        request.folder / "answers.jsonl",
    )
    (folder / "accuracy.txt").write_text(accuracy.to_accuracy_txt(), encoding="utf-8")
    result: dict[str, Any] = {"scores": dataclasses.asdict(accuracy), "gates": []}
    target = request.scope.workload.accuracy
    if target is not None and request.scope.whole_dataset:
        result["gates"] = [
            {
                **dataclasses.asdict(gate),
                "passed": gate.passed,
                "margin": gate.margin,
                "sentence": str(gate),
            }
            for gate in check_gates(accuracy, target)
        ]
    text = json.dumps(result, indent=2) + "\n"
    (request.folder / "accuracy.json").write_text(text, encoding="utf-8")
    return result


def _describe(request: RunRequest) -> dict[str, Any]:
    """The parts of run.json that are known before the run."""
    scope, engine = request.scope, request.engine
    system = detect_system()
    return {
        "marks": request.marks,
        "round": scope.round.name,
        "workload": scope.workload.name,
        "workload_rules": scope.workload.model_dump(mode="json"),
        "benchmark": request.dataset.benchmark if scope.official else None,
        "scenario": scope.scenario,
        "modes": list(request.modes),
        "num_samples": scope.num_samples,
        "dataset": request.dataset.record.to_json(),
        "engine": engine.manifest.to_json() if engine else None,
        "engine_folder": str(engine.folder) if engine else None,
        "executor": request.executor.model_dump(mode="json"),
        "machine": machine_facts().model_dump(mode="json"),
        "system": {"fields": system.fields, "closed_problems": list(system.closed_problems)},
        "versions": library_versions(),
        "tests": {},
        "accuracy": None,
    }
