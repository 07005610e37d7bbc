"""The verdict on a test: VALID, or INVALID because of a named rule, what was measured, the limit,
and what to change. The conditions stand in `conditions/`, but for two on the engine's process.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from harness.rules.verdict import Rule, Verdict
from harness.runs.conditions.answers import (
    accuracy_samples,
    all_answered,
    as_counted,
    each_sample_once,
    each_told,
    first_tokens_begin,
    given_as_told,
    longest,
    shortest,
    stop_ids_end,
    total_told,
)
from harness.runs.conditions.any_test import of_any_test
from harness.runs.conditions.both_tests import of_both_tests
from harness.runs.conditions.content import of_content
from harness.runs.conditions.pace import of_pace
from harness.runs.conditions.performance import equal_issue, of_performance
from harness.runs.conditions.same_answers import of_likeness
from harness.runs.reading import Reading

if TYPE_CHECKING:
    from harness.loadgen.given import GivenAnswers
    from harness.runs.evidence import Evidence
    from runtime.executor import TokenIds


def judge(evidence: Evidence) -> Verdict:
    """The verdict on one completed test."""
    plan = evidence.plan
    special = _performance if plan.mode == "performance" else _accuracy
    rules = [*special(evidence), *_common(evidence), _clean_exit(None)]
    if evidence.given is not None:
        rules += _given(evidence, evidence.given)
    return Verdict.of(rules)


def with_accuracy_test(
    verdict: Verdict, given: GivenAnswers, others: Mapping[int, TokenIds]
) -> Verdict:
    """The verdict on a performance test once the run's accuracy test is there, too."""
    return Verdict.of((*verdict.rules, *_both(given, others)))


def judge_unfinished(cause: str | None) -> Verdict:
    """The verdict on a test that failed or was interrupted: it has none of the evidence."""
    return Verdict.of([_clean_exit(cause or "no word of how it ended")])


def _performance(e: Evidence) -> Iterator[Rule]:
    yield from of_performance(
        e.log,
        e.plan.scenario,
        e.limits,
        min_duration_s=e.plan.min_duration_s,
        num_samples=e.plan.num_samples,
        summary_differences=e.summary_differences,
    )
    if e.plan.equal_issue:
        yield equal_issue(e.log)
    if e.log.num_tokens is not None:
        yield total_told(e.log.num_tokens, sum(e.token_counts))


def _accuracy(e: Evidence) -> Iterator[Rule]:
    yield accuracy_samples(e.log, e.plan.num_samples)
    yield each_sample_once(e.answers, e.plan.num_samples)
    yield each_told(e.answers)
    yield as_counted(e.answers, e.token_counts)
    if e.plan.scenario.has_first_tokens:
        yield first_tokens_begin(e.answers)


def _common(e: Evidence) -> Iterator[Rule]:
    yield from of_any_test(e.log, e.round, e.plan.mode, e.plan.scenario)
    yield all_answered(e.plan, e.log, len(e.token_counts))
    yield shortest(e.token_counts, e.workload.min_new_tokens)
    yield longest(e.token_counts, e.workload.max_new_tokens)
    yield _prefix_caching(e)


def _given(e: Evidence, given: GivenAnswers) -> Iterator[Rule]:
    """By the ids that the engine gave, and by when it gave them."""
    answers = given.answers
    if e.plan.mode == "accuracy":
        yield given_as_told(e.answers, given)
    elif e.plan.scenario.has_first_tokens:
        yield from of_pace(given)
    if e.language is not None:
        reading = Reading(answers, e.language)
        yield stop_ids_end(answers, e.language.stop_ids)
        yield from of_content(reading)
        yield from of_likeness(given.by_sample, reading)
    if e.others:
        yield from _both(given, e.others)


def _both(given: GivenAnswers, others: Mapping[int, TokenIds]) -> Iterator[Rule]:
    pairs = zip(given.samples.tolist(), given.answers, strict=True)
    yield from of_both_tests(pairs, others, "accuracy")


def _prefix_caching(e: Evidence) -> Rule:
    """Source: inference_rules.adoc, which asks that every query be computed in its entirety."""
    return Rule(
        name="prefix caching",
        passed=not e.prefix_caching,
        measured="on" if e.prefix_caching else "off",
        allowed="off: every query is computed whole",
        remedy="load the engine without prefix caching",
    )


def _clean_exit(cause: str | None) -> Rule:
    return Rule(
        name="clean exit",
        passed=cause is None,
        measured=cause or "exit code 0 after the last answer",
        allowed="the test's process ending by itself, with exit code 0",
        remedy="fix the cause and run again",
    )
