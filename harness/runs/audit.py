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
from typing import TYPE_CHECKING, Any

from build_engine.errors import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_OK,
    EXIT_RESULT,
    DatasetError,
    RunExists,
    UsageError,
)
from harness.dataset.prepared import Dataset
from harness.loadgen import logs
from harness.loadgen.folder import ACCURACY, TestFolder
from harness.loadgen.installed import require_loadgen
from harness.loadgen.job import Job, read_job
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import Status, run_test
from harness.rules.rounds import Round, load_round
from harness.rules.verdict import Verdict
from harness.runs.conditions.answers import (
    audit_settings,
    each_told,
    enough_logged,
    first_tokens_begin,
    longest,
    shortest,
    stop_ids_end,
)
from harness.runs.conditions.any_test import of_any_test
from harness.runs.integrity import require_intact
from harness.runs.record import ProgressLog, RunRecord, cannot_write
from harness.runs.verdict import judge_unfinished

if TYPE_CHECKING:
    from harness.progress import Progress, ProgressFigures

TEST = "TEST06"
VERIFICATION = "verify_accuracy.txt"


@dataclass(frozen=True, slots=True)
class Audit:
    """One compliance test that has ended."""

    folder: Path
    round: str
    status: Status
    cause: str | None
    verdict: Verdict

    @property
    def exit_code(self) -> int:
        """As the command line gives it."""
        if self.status == "interrupted":
            return EXIT_INTERRUPTED
        if self.status == "failed":
            return EXIT_FAILED
        return EXIT_OK if self.verdict.valid else EXIT_RESULT

    def to_json(self) -> dict[str, Any]:
        """As run.json keeps it."""
        verdict = self.verdict.model_dump(mode="json")
        return {"status": self.status, "cause": self.cause, "verdict": verdict}


def audit(run: Path, chosen: Round | None, progress: Progress) -> Audit:
    """Run TEST06 on the engine and dataset of a complete run, and record it in its run.json.

    `chosen` is the run's own round when None. Raises UsageError for a run that is not complete, of
    another round, or whose dataset is gone, RunExists when it was audited before, ResultProblem
    when its files were edited, EnvironmentFault for a LoadGen of another round.
    """
    record = RunRecord.read(run)
    chosen = _round(record, chosen)
    require_loadgen(chosen)
    plan = _plan(record)
    folder = run / TEST
    taken = (
        f"{folder} exists: the run was audited, or is now; move it out of the run's folder to "
        f"audit it again."
    )
    if folder.exists():
        raise RunExists(taken)
    _forget_audit(record)
    require_intact(record)
    job = _job(record)
    settings = chosen.compliance_tests[TEST]
    try:
        (folder / "accuracy").mkdir(parents=True)
        config = folder / "audit.config"
        config.write_text(audit_config(settings), encoding="utf-8")
    except FileExistsError:
        raise RunExists(taken) from None
    except OSError as error:
        raise cannot_write(folder, error) from None
    progress.phase(f"{TEST} of {record.content['scenario']}: loading the engine and warming up")
    outcome = run_test(
        job,
        lambda probe: plan,
        folder.absolute(),
        _Shortened(progress, settings["min_query_count"]),
        on_figures=ProgressLog(run, TEST).append,
        audit_config=config.absolute(),
    )
    if outcome.status == "complete":
        verdict = verify(folder, plan, chosen, job)
    else:
        verdict = judge_unfinished(outcome.cause)
    finished = Audit(folder, chosen.name, outcome.status, outcome.cause, verdict)
    audits = {**record.content.get("audits", {}), TEST: finished.to_json()}
    record.save(audits=audits, files=record.digests())
    return finished


def audit_config(settings: Mapping[str, int]) -> str:
    """The text of an audit.config; LoadGen applies it over mlperf.conf and user.conf."""
    return "".join(f"*.*.{key} = {value}\n" for key, value in settings.items())


def verify(folder: Path, plan: LoadgenPlan, chosen: Round, job: Job) -> Verdict:
    """Judge the logs of a TEST06 in `folder`, and write the two official outputs beside them."""
    settings = chosen.compliance_tests[TEST]
    log, answers = logs.read_detail(folder), logs.read_answers(folder)
    lengths = [len(answer.ids) for answer in answers]
    begin = [first_tokens_begin(answers)] if plan.scenario.has_first_tokens else []
    end = stop_ids_end(answers, job.stop_ids)
    length = [
        each_told(answers),
        shortest(lengths, job.min_new_tokens),
        longest(lengths, job.max_new_tokens),
    ]
    verdict = Verdict.of(
        [
            audit_settings(log, settings),
            enough_logged(answers, min(settings["min_query_count"], log.num_answers)),
            *of_any_test(log, chosen, plan.mode, plan.scenario),
            *begin,
            end,
            *length,
        ]
    )
    lines = [
        f"First token check pass: {begin[0].passed if begin else 'Skipped'}",
        f"EOS check pass: {end.passed}",
        f"Sample length check pass: {all(rule.passed for rule in length)}",
        f"{TEST} verification {'complete' if verdict.valid else 'failed'}",
    ]
    (folder / VERIFICATION).write_text("\n".join(lines) + "\n", encoding="utf-8")
    shutil.copyfile(folder / ACCURACY, folder / "accuracy" / ACCURACY)
    return verdict


def _round(record: RunRecord, chosen: Round | None) -> Round:
    """The round of the run, which has the audit."""
    name = str(record.content["round"])
    chosen = chosen or load_round(name)
    if chosen.name != name:
        raise UsageError(
            f"{record.folder} is of round {name}, not {chosen.name}; audit it as such."
        )
    if TEST not in chosen.compliance_tests:
        raise UsageError(f"Round {name} has no {TEST}.")
    return chosen


def _forget_audit(record: RunRecord) -> None:
    """An audit that was moved away is no part of the run any more."""
    files = record.content["files"]
    record.content["files"] = {k: v for k, v in files.items() if not k.startswith(f"{TEST}/")}


def _plan(record: RunRecord) -> LoadgenPlan:
    """The plan of the performance test of a complete run."""
    content = record.content
    test = content["tests"].get("performance")
    if content["status"] != "complete" or test is None:
        raise UsageError(
            f"{record.folder} is {content['status']} and has "
            f"{'a' if test else 'no'} performance test; audit a complete run with one."
        )
    return LoadgenPlan.from_json(test["plan"])


def _job(record: RunRecord) -> Job:
    """The job of an unedited run, whose dataset and engine are still the same."""
    content = record.content
    job = read_job(TestFolder(record.folder / "performance").job)
    try:
        digest = Dataset.load(job.dataset).digest
    except DatasetError:  # gone, or damaged
        digest = None
    if digest != content["dataset"]["digest"]:
        raise UsageError(
            f"The dataset of the run is not at {job.dataset} any more; prepare it again with "
            f"`enginebench dataset`."
        )
    if content["engine"] is not None:
        from build_engine.store.engine import Engine

        folder = job.executor.engine_folder
        if folder is None or Engine.load(folder).key != content["engine"]["key"]:
            raise UsageError(f"{folder} is another engine than the run's; run again.")
    return job


@dataclass(frozen=True, slots=True)
class _Shortened:
    """Progress of a test that asks for fewer queries than its plan."""

    inner: Progress
    total: int

    def phase(self, name: str) -> None:
        """See `Progress.phase`."""
        self.inner.phase(name)

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self.inner.note(text)

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """See `Progress.update`."""
        self.inner.update(done, self.total, figures)

    def close(self) -> None:
        """See `Progress.close`."""
        self.inner.close()
