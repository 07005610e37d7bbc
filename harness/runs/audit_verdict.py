"""The verdict on TEST06, by its logs alone: its own checks, and that it gave the answers of the
run's other tests again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.loadgen import logs
from harness.loadgen.given import GivenAnswers
from harness.loadgen.job import Job
from harness.loadgen.settings import LoadgenPlan, Mode
from harness.rules.rounds import Round
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
from harness.runs.conditions.both_tests import of_both_tests
from harness.runs.conditions.content import of_content
from harness.runs.folder import AUDIT_TEST, AuditFolder
from harness.runs.reading import Language, Reading
from harness.runs.run import Run

if TYPE_CHECKING:
    from harness.loadgen.logs import LoggedAnswer
    from runtime.executor import TokenIds


def answers_to_repeat(run: Run) -> tuple[Mode, Mapping[int, TokenIds]]:
    """The test whose answers a compliance test must give again, and those by sample: the accuracy
    test's where there is one.
    """
    mode: Mode = "accuracy" if run.record.tests.accuracy else "performance"
    return mode, GivenAnswers.load(run.folder.test(mode).given).by_sample


def judge_audit(
    folder: AuditFolder,
    plan: LoadgenPlan,
    chosen: Round,
    job: Job,
    language: Language | None = None,
    others: Mapping[int, TokenIds] | None = None,
    name: Mode = "accuracy",
) -> tuple[Verdict, list[str]]:
    """The verdict on the logs of a TEST06, and the lines that the submission checker reads."""
    settings = chosen.compliance_tests[AUDIT_TEST]
    log, answers = logs.read_detail(folder.path), logs.read_answers(folder.path)
    lengths = [len(answer.ids) for answer in answers]
    begin = [first_tokens_begin(answers)] if plan.scenario.has_first_tokens else []
    end = stop_ids_end([answer.ids for answer in answers], job.stop_ids)
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
            *(of_content(Reading([each.ids for each in answers], language)) if language else ()),
            *(of_both_tests(_by_sample(answers), others, name) if others else ()),
        ]
    )
    lines = [
        f"First token check pass: {begin[0].passed if begin else 'Skipped'}",
        f"EOS check pass: {end.passed}",
        f"Sample length check pass: {all(rule.passed for rule in length)}",
        f"{AUDIT_TEST} verification {'complete' if verdict.valid else 'failed'}",
    ]
    return verdict, lines


def _by_sample(answers: Sequence[LoggedAnswer]) -> Iterator[tuple[int, TokenIds]]:
    return ((answer.index, answer.ids) for answer in answers)
