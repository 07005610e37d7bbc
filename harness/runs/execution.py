"""Carrying out a run: one or both of LoadGen's modes, in a folder of its own.

Each mode is a LoadGen test in its own process. What is measured comes from LoadGen's logs, what is
judged goes by named rules, and the record on disk is true at every moment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from build_engine.files import cannot_write, write_json
from harness.loadgen import logs
from harness.loadgen.given import GivenAnswers
from harness.loadgen.installed import require_loadgen
from harness.loadgen.supervise import Outcome, run_test
from harness.machine.facts import library_versions, machine_facts
from harness.machine.system import detect_system
from harness.runs.judging import evidence_of, record_of
from harness.runs.record import (
    AccuracyRecord,
    SystemFacts,
    TestRecord,
    TestRecords,
)
from harness.runs.run import Run
from harness.runs.verdict import judge_unfinished, with_accuracy_test

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.loadgen.folder import TestFolder
    from harness.loadgen.job import Probe
    from harness.loadgen.logs import LoggedAnswer
    from harness.loadgen.settings import LoadgenPlan, Mode
    from harness.progress import Progress
    from harness.runs.request import RunRequest


def execute(request: RunRequest, progress: Progress) -> Run:
    """Run every mode that was asked for, stopping at the first that does not complete.

    Raises EnvironmentFault (a LoadGen of another round), RunExists and OutputError before anything
    runs; after that the returned Run says how it went.
    """
    require_loadgen(request.scope.round)
    running = _Execution(request, progress, claim(request))
    model = request.scope.workload.model
    if "other weights" in request.marks and model is not None:
        progress.note(
            f"These weights are, by sha256, not those of {model.hub} at commit "
            f"{model.revision[:12]}: the closed division will refuse the run."
        )
    for mode in request.modes:
        try:
            outcome = running.test(mode)
        except EnginebenchError as error:  # LoadGen's logs or the disk; the record says so
            outcome = Outcome("failed", str(error), None, None, exit_code=error.exit_code)
        except OSError as error:  # a full disk, for the most part
            fault = cannot_write(request.folder, error)
            outcome = Outcome("failed", str(fault), None, None, exit_code=fault.exit_code)
        except KeyboardInterrupt:  # between the tests, or while scoring
            outcome = Outcome("interrupted", "stopped by the user", None, None)
        except Exception as error:  # our own mistake: told as such, and the record is true
            running.end(Outcome("failed", f"{type(error).__name__}: {error}", None, None))
            raise
        if outcome.status != "complete":
            break
    return running.end(outcome)


def claim(request: RunRequest) -> Run:
    """The run in its folder, with all that is known before a test. Raises RunExists and
    OutputError.
    """
    scope, engine, system = request.scope, request.engine, detect_system()
    run = Run.claim(
        request.folder,
        command=request.command,
        marks=request.marks,
        round=scope.round.name,
        workload=scope.workload,
        benchmark=request.dataset.benchmark if scope.official else None,
        scenario=scope.scenario,
        modes=tuple(request.modes),
        num_samples=scope.num_samples,
        dataset=request.dataset.record,
        engine=engine.manifest if engine else None,
        engine_folder=engine.folder if engine else None,
        executor=request.executor,
        machine=machine_facts(),
        system=SystemFacts(fields=system.fields, closed_problems=system.closed_problems),
        versions=library_versions(),
    )
    try:
        write_json(run.folder.dataset, request.dataset.record.to_json())
        write_json(run.folder.workload, scope.workload.model_dump(mode="json"))
        if engine is not None:
            write_json(run.folder.engine, engine.manifest.to_json())
    except OSError as error:
        raise cannot_write(request.folder, error) from None
    return run


class _Execution:
    """A run that goes on, and its latest record."""

    def __init__(self, request: RunRequest, progress: Progress, run: Run) -> None:
        self._request = request
        self._progress = progress
        self._run = run

    def test(self, mode: Mode) -> Outcome:
        """One LoadGen test, judged and recorded; an accuracy test is scored as well."""
        scope, folder = self._request.scope, self._run.folder.test(mode)
        try:
            folder.path.mkdir()
        except OSError as error:
            raise cannot_write(folder.path, error) from None
        self._progress.phase(f"{scope.scenario}, {mode}: loading the engine and warming up")
        outcome = run_test(
            self._request.job,
            lambda probe: self._plan(mode, probe),
            folder.path,
            self._progress,
            on_figures=lambda figures: self._run.log_progress(mode, figures),
        )
        complete = outcome.status == "complete"
        answers = logs.read_answers(folder.path) if complete and mode == "accuracy" else []
        measured = self._measured(outcome, folder) if complete else _unfinished(outcome)
        tests = self._with_both(self._run.record.tests.model_copy(update={mode: measured}))
        self._run = self._run.changed(tests=tests)
        if answers and self._request.engine is not None:
            self._progress.phase(f"{scope.scenario}, {mode}: scoring {len(answers):,} answers")
            accuracy = self._score(self._request.engine, folder, answers)
            self._run = self._run.changed(accuracy=accuracy)
        return outcome

    def _with_both(self, tests: TestRecords) -> TestRecords:
        """The performance test judged by the answers of the accuracy test too, once both are there.

        In this order they run; the figures are those of the performance test, so it is the one to
        be doubted.
        """
        performance, accuracy = tests.performance, tests.accuracy
        if performance is None or accuracy is None or accuracy.status != "complete":
            return tests
        folder = self._run.folder
        verdict = with_accuracy_test(
            performance.verdict,
            GivenAnswers.load(folder.test("performance").given),
            GivenAnswers.load(folder.test("accuracy").given).by_sample,
        )
        doubted = performance.model_copy(update={"verdict": verdict})
        return tests.model_copy(update={"performance": doubted})

    def end(self, outcome: Outcome) -> Run:
        """The run is over, with the last of its tests."""
        code = outcome.exit_code if outcome.status == "failed" else None
        return self._run.ended(outcome.status, outcome.cause, code)

    def _plan(self, mode: Mode, probe: Probe) -> LoadgenPlan:
        scope = self._request.scope
        plan = scope.plan(mode, probe)
        self._progress.phase(f"{scope.scenario}, {mode}: {scope.announcement(plan, probe)}")
        return plan

    def _measured(self, outcome: Outcome, folder: TestFolder) -> TestRecord:
        """What LoadGen's logs of a completed test say, and the verdict on it."""
        plan, probe, scope = outcome.plan, outcome.probe, self._request.scope
        assert plan is not None and probe is not None, "a complete test had both"
        language = self._request.language
        evidence = evidence_of(folder, plan, probe, scope.workload, scope.round, language)
        return record_of(evidence, probe, outcome.figures)

    def _score(
        self, engine: Engine, folder: TestFolder, answers: list[LoggedAnswer]
    ) -> AccuracyRecord:
        """ROUGE of the answers that LoadGen logged, the gates where the whole dataset was answered,
        and accuracy.txt.
        """
        from build_engine.checkpoint.tokenizer import Tokenizer
        from harness.scoring.accuracy import check_gates, score_answers

        scores = score_answers(
            logs.first_answers(answers),
            self._request.dataset.references(),
            Tokenizer.load(engine.folder),
            self._run.folder.answers,
        )
        folder.accuracy_txt.write_text(scores.to_accuracy_txt(), encoding="utf-8")
        target, scope = self._request.scope.workload.accuracy, self._request.scope
        gates = check_gates(scores, target) if target and scope.gated else ()
        accuracy = AccuracyRecord(scores=scores, gates=tuple(gates))
        write_json(self._run.folder.accuracy, accuracy.model_dump(mode="json"))
        return accuracy


def _unfinished(outcome: Outcome) -> TestRecord:
    return TestRecord(
        status=outcome.status,
        cause=outcome.cause,
        plan=outcome.plan,
        probe=outcome.probe,
        last_figures=outcome.figures,
        verdict=judge_unfinished(outcome.cause),
    )
