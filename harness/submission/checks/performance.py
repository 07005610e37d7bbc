"""The performance logs of a result: what LoadGen was asked, what it measured, and by which limits.

The official checker looks at what was requested; here what was measured counts as well. Limits are
those of the scenario that the folder claims; the checker applies those of the log's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from build_engine.errors import RunFailed
from harness.loadgen import logs
from harness.loadgen.detail import DetailLog
from harness.loadgen.folder import DETAIL, SUMMARY
from harness.rules.rounds import Benchmark, Round
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule
from harness.runs.conditions.answers import mean_length
from harness.runs.conditions.any_test import of_any_test
from harness.runs.conditions.performance import equal_issue, of_performance
from harness.submission.tree import Result


def performance_problems(
    result: Result, scenario: Scenario, rules: Benchmark, chosen: Round
) -> Iterator[str]:
    """What is wrong with `performance/run_1`."""
    for name in (DETAIL, SUMMARY):
        if not (result.performance / name).is_file():
            yield f"performance/run_1/{name} is missing; pack the run again."
            return
    try:
        log = logs.read_detail(result.performance)
        differences = logs.summary_differences(result.performance, log)
    except RunFailed as error:
        yield f"{error}."
        return
    yield from broken("performance", of_any_test(log, chosen, "performance", scenario))
    found = of_performance(
        log,
        scenario,
        rules.scenarios[scenario],
        min_duration_s=chosen.min_duration_s,
        num_samples=rules.num_samples,
        summary_differences=differences,
    )
    yield from broken("performance", found)
    if result.by.division != "open":
        yield from broken("performance", _closed(log, rules))


def broken(test: str, rules: Iterable[Rule]) -> Iterator[str]:
    """A sentence for each rule that a test of a tree did not pass."""
    for rule in rules:
        if not rule.passed:
            yield f"{test} test, {rule.sentence.rstrip('.')}."


def _closed(log: DetailLog, rules: Benchmark) -> Iterator[Rule]:
    """What binds the closed division only."""
    yield equal_issue(log)
    if log.num_tokens:
        yield mean_length(log.num_tokens / log.num_answers, rules.max_new_tokens)
