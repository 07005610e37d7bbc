"""Carrying out a run: one or both of LoadGen's modes, in a folder of its own.

Each mode is a LoadGen test in its own process. What is measured comes from LoadGen's logs, what is
judged goes by named rules, and the record on disk is true at every moment.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError, RunFailed
from build_engine.files import cannot_write, read_json, write_json
from build_engine.target import Detected
from build_engine.validation import counted
from harness.dataset.prompts import prompt_lengths
from harness.loadgen import logs
from harness.loadgen.given import GivenAnswers
from harness.loadgen.installed import require_loadgen
from harness.loadgen.supervise import Outcome, run_test
from harness.machine.facts import library_versions, machine_facts
from harness.machine.system import detect_system
from harness.runs.judging import evidence_of, record_of
from harness.runs.limits import limits_of, p90
from harness.runs.record import (
    AccuracyRecord,
    SystemFacts,
    TestRecord,
)
from harness.runs.repeats import folder_name, with_test
from harness.runs.run import Run
from harness.runs.timeline import read_timeline
from harness.runs.verdict import judge_unfinished, with_accuracy_test
from runtime.backend import require_room

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from harness.loadgen.folder import TestFolder
    from harness.loadgen.job import Probe
    from harness.loadgen.logs import LoggedAnswer
    from harness.loadgen.messages import AnswerRecord
    from harness.loadgen.settings import LoadgenPlan, Mode
    from harness.progress import Progress
    from harness.runs.limits_record import LimitsRecord
    from harness.runs.request import RunRequest


def execute(
    request: RunRequest,
    progress: Progress,
    give_up: Callable[[Sequence[AnswerRecord]], bool] = lambda records: False,
) -> Run:
    """Run every test that was asked for, stopping at the first that does not complete; `give_up`
    sees answers as they come, and may end a test (see `run_test`).

    Raises EnvironmentFault (a LoadGen of another round, too little memory), RunExists and
    OutputError before anything runs; after that the returned Run says how it went.
    """
    require_loadgen(request.scope.round)
    require_room(request.executor)
    running = _Execution(request, progress, claim(request), give_up)
    model = request.scope.workload.model
    if "other weights" in request.marks and model is not None:
        progress.note(
            f"These weights are, by sha256, not those of {model.hub} at commit "
            f"{model.revision[:12]}: the closed division will refuse the run."
        )
    for mode, number in request.tests:
        try:
            outcome = running.test(mode, number)
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
        served=request.served,
        simulated=request.simulated,
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

    def __init__(
        self,
        request: RunRequest,
        progress: Progress,
        run: Run,
        give_up: Callable[[Sequence[AnswerRecord]], bool],
    ) -> None:
        self._give_up = give_up
        self._request = request
        self._progress = progress
        self._run = run

    def test(self, mode: Mode, number: int) -> Outcome:
        """The LoadGen test of this number in its mode, judged and recorded; an accuracy test is
        scored as well.
        """
        name = folder_name(number) if mode == "performance" else mode
        scope, folder = self._request.scope, self._run.folder.test(name)
        try:
            folder.path.mkdir()
        except OSError as error:
            raise cannot_write(folder.path, error) from None
        self._progress.phase(f"{scope.scenario}, {name}: loading the engine and warming up")
        outcome = run_test(
            self._request.job,
            lambda probe: self._plan(mode, name, probe),
            folder.path,
            self._progress,
            on_figures=lambda figures: self._run.log_progress(name, figures),
            give_up=self._give_up,
        )
        complete = outcome.status == "complete"
        answers = logs.read_answers(folder.path) if complete and mode == "accuracy" else []
        measured = self._measured(outcome, folder) if complete else _unfinished(outcome)
        self._keep(mode, measured)
        if complete and mode == "performance" and number == 1:
            limits = self._limits(measured, name, folder)
            why = None if limits.value else limits.reason or None
            self._run = self._run.changed(limits=limits.value, no_limits=why)
        if complete and mode == "accuracy":
            self._doubt(folder)
        tokenizer = self._request.tokenizer_folder
        if answers and tokenizer is not None:
            self._progress.phase(
                f"{scope.scenario}, {mode}: scoring {counted(len(answers), 'answer')}"
            )
            accuracy = self._score(tokenizer, folder, answers)
            self._run = self._run.changed(accuracy=accuracy)
        return outcome

    def _doubt(self, accuracy: TestFolder) -> None:
        """The performance tests judged by the answers of the accuracy test, too.

        In this order they run; the figures are those of a performance test, so it is the one to be
        doubted.
        """
        record, others = self._run.record, GivenAnswers.load(accuracy.given).by_sample
        doubted = [
            test.model_copy(
                update={
                    "verdict": with_accuracy_test(
                        test.verdict,
                        GivenAnswers.load(self._run.folder.test(folder_name(number)).given),
                        others,
                    )
                }
            )
            for number, test in enumerate(record.performance_tests, start=1)
        ]
        if not doubted:
            return
        first, *again = doubted
        tests = record.tests.model_copy(update={"performance": first})
        repeats = record.repeats
        if repeats is not None:
            repeats = repeats.model_copy(update={"tests": tuple(again)})
        self._run = self._run.changed(tests=tests, repeats=repeats)

    def end(self, outcome: Outcome) -> Run:
        """The run is over, with the last of its tests."""
        code = outcome.exit_code if outcome.status == "failed" else None
        return self._run.ended(outcome.status, outcome.cause, code)

    def _keep(self, mode: Mode, measured: TestRecord) -> None:
        tests, repeats = self._run.record.tests, self._run.record.repeats
        if mode == "performance" and tests.performance is not None:
            repeats = with_test(tests.performance, repeats, measured)
            self._run = self._run.changed(repeats=repeats)
        else:
            self._run = self._run.changed(tests=tests.model_copy(update={mode: measured}))

    def _plan(self, mode: Mode, name: str, probe: Probe) -> LoadgenPlan:
        """A repeat has the plan of the first test, at whatever rate it warmed up."""
        scope, first = self._request.scope, self._run.record.tests.performance
        plan = first.plan if mode == "performance" and first else None
        plan = plan or scope.plan(mode, probe)
        self._progress.phase(f"{scope.scenario}, {name}: {scope.announcement(plan, probe)}")
        return plan

    def _measured(self, outcome: Outcome, folder: TestFolder) -> TestRecord:
        """What LoadGen's logs of a completed test say, and the verdict on it."""
        plan, probe, scope = outcome.plan, outcome.probe, self._request.scope
        assert plan is not None and probe is not None, "a complete test had both"
        language = self._request.language
        evidence = evidence_of(folder, plan, probe, scope.workload, scope.round, language)
        return record_of(evidence, probe, outcome.figures, outcome.load)

    def _limits(
        self, measured: TestRecord, name: str, folder: TestFolder
    ) -> Detected[LimitsRecord | None]:
        """How close the test came to the limits of its machine, or why that is not known."""
        engine, figures = self._request.engine, measured.last_figures
        if engine is None or figures is None or measured.metrics is None or not figures.issued:
            return Detected(None, "")
        counts: list[int] = read_json(folder.token_counts, RunFailed, "run again")
        p90_tokens = None
        if counts and self._request.scope.scenario.one_at_a_time:
            dataset = self._request.dataset
            with contextlib.suppress(OSError):  # the cache may have been cleared meanwhile
                prompts = prompt_lengths(dataset.folder)[: dataset.num_samples]
                p90_tokens = (p90(prompts), p90(counts))
        return limits_of(
            engine,
            self._request.executor,
            self._request.scope.scenario,
            measured.metrics,
            figures.prompt_tokens_issued / figures.issued,
            sum(counts) / max(len(counts), 1),
            read_timeline(self._run.folder.progress).get(name, ()),
            p90_tokens,
        )

    def _score(
        self, tokenizer: Path, folder: TestFolder, answers: list[LoggedAnswer]
    ) -> AccuracyRecord:
        """ROUGE of the answers that LoadGen logged, the gates where the whole dataset was answered,
        and accuracy.txt.
        """
        from build_engine.checkpoint.tokenizer import Tokenizer
        from harness.scoring.accuracy import check_gates, score_answers

        scores = score_answers(
            logs.first_answers(answers),
            self._request.dataset.references(),
            Tokenizer.load(tokenizer),
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
