"""Compliance tests of a finished run: TEST06, under its audit settings, in a process of its own.

The official verification cannot fail on the end of a Llama answer (its EOS id is compared as text),
and looks at three properties only. The checks here compare integer ids, and the files they leave
are those that the submission checker reads: `verify_accuracy.txt` and `accuracy/`.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RESULT,
    DatasetError,
    RunExists,
    UsageError,
)
from build_engine.files import cannot_write
from build_engine.memory import require_address_space
from build_engine.store.engine import Engine
from harness.dataset.prepared import Dataset
from harness.loadgen.given import GivenAnswers
from harness.loadgen.installed import require_loadgen
from harness.loadgen.job import Job, read_job
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.loadgen.supervise import Outcome, run_test
from harness.rules.rounds import Round, load_round
from harness.rules.verdict import Verdict
from harness.runs.audit_verdict import answers_to_repeat, judge_audit
from harness.runs.caching import ask_again, not_cached
from harness.runs.folder import AUDIT_TEST, AuditFolder
from harness.runs.integrity import require_intact
from harness.runs.packable import never_packed
from harness.runs.reading import Language
from harness.runs.record import AuditRecord
from harness.runs.run import Run
from harness.runs.verdict import judge_unfinished

if TYPE_CHECKING:
    from harness.progress import Progress
    from runtime.executor import TokenIds


@dataclass(frozen=True, slots=True)
class Audit:
    """One compliance test that has ended."""

    folder: Path
    round: str
    record: AuditRecord

    @property
    def verdict(self) -> Verdict:
        """On its answers, and on how it went."""
        return self.record.verdict

    @property
    def exit_code(self) -> int:
        """As the command line gives it."""
        if self.record.status == "interrupted":
            return EXIT_INTERRUPTED
        if self.record.status == "failed":
            return EXIT_FAILED
        return EXIT_OK if self.verdict.valid else EXIT_RESULT


def audit(path: Path, chosen: Round | None, progress: Progress) -> Audit:
    """Run TEST06 on the engine and dataset of a complete run, and record it in its run.json.

    `chosen` is the run's own round when None. Raises UsageError for a run that is not complete, of
    another round, that can never be packed, or whose dataset is gone, RunExists when it was audited
    before, ResultProblem when its files were edited, EnvironmentFault for a LoadGen of another
    round.
    """
    run = Run.read(path)
    chosen = _round(run, chosen)
    require_loadgen(chosen)
    require_address_space()
    plan, folder = _plan(run), run.folder.audit(AUDIT_TEST)
    taken = (
        f"{folder.path} exists: the run was audited, or is now; move it out of the run's folder to "
        f"audit it again."
    )
    if folder.path.exists():
        raise RunExists(taken)
    never = next(never_packed(run.record, chosen), None)
    if never is not None:
        raise UsageError(
            f"{run.folder.path} can never be packed, so an audit is of no use: {never}"
        )
    run = _without_audit(run)
    require_intact(run, chosen)
    job = _job(run)
    settings = chosen.compliance_tests[AUDIT_TEST]
    try:
        folder.accuracy.path.mkdir(parents=True)
        folder.audit_config.write_text(audit_config(settings), encoding="utf-8")
    except FileExistsError:
        raise RunExists(taken) from None
    except OSError as error:
        raise cannot_write(folder.path, error) from None
    progress.phase(f"{AUDIT_TEST} of {run.record.scenario}: loading the engine and warming up")
    outcome = run_test(
        job,
        lambda probe: plan,
        folder.path.absolute(),
        progress,
        on_figures=lambda figures: run.log_progress(AUDIT_TEST, figures),
        audit_config=folder.audit_config.absolute(),
        num_queries=settings["min_query_count"],
    )
    if outcome.status == "complete":
        verdict, outcome = _judge(run, folder, plan, chosen, job, progress)
    else:
        verdict = judge_unfinished(outcome.cause)
    record = AuditRecord(status=outcome.status, cause=outcome.cause, verdict=verdict)
    audits = {**run.record.audits, AUDIT_TEST: record}
    run.changed(audits=audits, files=run.folder.digests())
    return Audit(folder.path, chosen.name, record)


def audit_config(settings: Mapping[str, int]) -> str:
    """The text of an audit.config; LoadGen applies it over mlperf.conf and user.conf."""
    return "".join(f"*.*.{key} = {value}\n" for key, value in settings.items())


def _judge(
    run: Run,
    folder: AuditFolder,
    plan: LoadgenPlan,
    chosen: Round,
    job: Job,
    progress: Progress,
) -> tuple[Verdict, Outcome]:
    """On a completed TEST06, and on whether answers come from a cache; and how that went."""
    language, served = None, run.record.served
    if served is not None:
        language = served.language
    elif run.record.engine is not None and job.executor.engine_folder is not None:
        language = Language.of(Engine(job.executor.engine_folder, run.record.engine))
    name, others = answers_to_repeat(run)
    verdict = verify(folder, plan, chosen, job, language, others, name)
    given = GivenAnswers.load(run.folder.test("performance").given)
    stopped = ask_again(folder.path, job, plan, given, progress)
    if stopped is not None:
        return judge_unfinished(stopped.cause), stopped
    whole = Verdict.of((*verdict.rules, not_cached(folder.path)))
    return whole, Outcome("complete", None, None, plan, exit_code=EXIT_OK)


def verify(
    folder: AuditFolder,
    plan: LoadgenPlan,
    chosen: Round,
    job: Job,
    language: Language | None = None,
    others: Mapping[int, TokenIds] | None = None,
    name: Mode = "accuracy",
) -> Verdict:
    """Judge the logs of a TEST06 in `folder`, and write the two official outputs beside them.

    `others` are the answers of the run's test `name`, to which these must be alike.
    """
    verdict, lines = judge_audit(folder, plan, chosen, job, language, others, name)
    folder.verification.write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copyfile(folder.answers, folder.accuracy.answers)
    return verdict


def _round(run: Run, chosen: Round | None) -> Round:
    """The round of the run, which has the audit."""
    name = run.record.round
    chosen = chosen or load_round(name)
    if chosen.name != name:
        raise UsageError(
            f"{run.folder.path} is of round {name}, not {chosen.name}; audit it as such."
        )
    if AUDIT_TEST not in chosen.compliance_tests:
        raise UsageError(f"Round {name} has no {AUDIT_TEST}.")
    return chosen


def _without_audit(run: Run) -> Run:
    """The run as it was before an audit that was moved away since; sealed if it was."""
    record = run.record
    files = {
        name: digest
        for name, digest in record.files.items()
        if not name.startswith(f"{AUDIT_TEST}/")
    }
    audits = {name: audit for name, audit in record.audits.items() if name != AUDIT_TEST}
    before = record.model_copy(update={"files": files, "audits": audits})
    return Run(run.folder, before.sealed() if record.is_sealed else before)


def _plan(run: Run) -> LoadgenPlan:
    """The plan of the performance test of a complete run."""
    test = run.record.tests.performance
    if run.record.status != "complete" or test is None or test.plan is None:
        raise UsageError(
            f"{run.folder.path} is {run.record.status} and has "
            f"{'a' if test else 'no'} performance test; audit a complete run with one."
        )
    return test.plan


def _job(run: Run) -> Job:
    """The job of an unedited run, whose dataset is still the same."""
    job = read_job(run.folder.test("performance").job)
    gone = UsageError(
        f"The dataset of the run is not at {job.dataset} any more; prepare it again with "
        f"`enginebench dataset`."
    )
    try:
        dataset = Dataset.load(job.dataset)
    except DatasetError:
        raise gone from None
    if dataset.digest != run.record.dataset.digest:
        raise gone
    return job
