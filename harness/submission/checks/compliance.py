"""Compliance outputs of a closed result: the lines that the checker looks for, and the answers."""

from __future__ import annotations

from collections.abc import Iterator

from build_engine.errors import RunFailed
from build_engine.files import Unreadable, read_lossy
from harness.loadgen import logs
from harness.loadgen.logs import LoggedAnswer
from harness.rules.rounds import Benchmark, Round
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule
from harness.runs.conditions.answers import (
    each_told,
    enough_logged,
    first_tokens_begin,
    longest,
)
from harness.runs.folder import VERIFICATION
from harness.submission.checks.performance import broken
from harness.submission.tree import MAX_TEXT_BYTES, Result

_LINES = {
    "First token check pass": ("True", "Skipped"),
    "EOS check pass": ("True",),
    "Sample length check pass": ("True",),
}


def compliance_problems(
    result: Result, scenario: Scenario, rules: Benchmark, chosen: Round
) -> Iterator[str]:
    """What is wrong with the compliance tests that the benchmark needs."""
    for test in rules.compliance:
        folder = result.compliance(test)
        file = folder / VERIFICATION
        if not folder.is_dir():
            yield f"{test} is missing; run `enginebench audit` on the run, and pack it again."
            continue
        if not file.is_file():
            yield f"{test}/{VERIFICATION} is missing; audit the run again."
            continue
        try:
            lines = read_lossy(file, MAX_TEXT_BYTES).splitlines()
        except Unreadable as problem:
            yield f"{test}/{VERIFICATION} {problem}; audit the run again."
            continue
        said = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
        for name, passing in _LINES.items():
            if said.get(name) not in passing:
                yield f"{test} did not pass: {name} is {said.get(name, 'not there')}."
        if said.get("First token check pass") == "Skipped" and scenario.has_first_tokens:
            yield f"{test} skipped the first token check, which {scenario} needs."
        try:
            answers = logs.read_answers(folder / "accuracy")
        except RunFailed as error:
            yield f"{test}: {error}."
            continue
        least = chosen.compliance_tests[test]["min_query_count"]
        yield from broken(test, _answers(answers, scenario, least, rules.max_new_tokens))


def _answers(
    answers: list[LoggedAnswer], scenario: Scenario, least: int, most: int
) -> Iterator[Rule]:
    """The answers themselves, whatever the verification says about them."""
    yield enough_logged(answers, least)
    yield longest([len(answer.ids) for answer in answers], most)
    yield each_told(answers)
    if scenario.has_first_tokens:
        yield first_tokens_begin(answers)
