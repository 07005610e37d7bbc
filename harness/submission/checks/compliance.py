"""Compliance outputs of a closed result: the lines that the checker looks for, and the answers."""

from __future__ import annotations

from collections.abc import Iterator

from build_engine.errors import RunFailed
from harness.loadgen import logs
from harness.loadgen.logs import LoggedAnswer
from harness.rules.rounds import Benchmark, Round
from harness.runs.audit import VERIFICATION
from harness.submission.tree import Result

_LINES = {
    "First token check pass": ("True", "Skipped"),
    "EOS check pass": ("True",),
    "Sample length check pass": ("True",),
}


def compliance_problems(result: Result, rules: Benchmark, chosen: Round) -> Iterator[str]:
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
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        said = dict(line.strip().split(": ", 1) for line in lines if ": " in line)
        for name, passing in _LINES.items():
            if said.get(name) not in passing:
                yield f"{test} did not pass: {name} is {said.get(name, 'not there')}."
        if said.get("First token check pass") == "Skipped" and result.scenario != "Offline":
            yield f"{test} skipped the first token check, which {result.scenario} needs."
        try:
            answers = logs.read_answers(folder / "accuracy")
        except RunFailed as error:
            yield f"{test}: {error}."
            continue
        least = chosen.compliance_tests[test]["min_query_count"]
        yield from _answer_problems(result, test, answers, least, rules.max_new_tokens)


def _answer_problems(
    result: Result, test: str, answers: list[LoggedAnswer], least: int, most: int
) -> Iterator[str]:
    """The answers themselves, whatever the verification says about them."""
    if len(answers) < least:
        yield f"{test} logged {len(answers)} answers, fewer than {least}."
    long = max((len(answer.ids) for answer in answers), default=0)
    if long > most:
        yield f"{test} has an answer of {long} tokens, above the limit of {most}."
    wrong = sum(len(answer.ids) != answer.token_count for answer in answers)
    if wrong:
        yield f"{test} has {wrong} answers with another number of tokens than ids."
    if result.scenario == "Offline":
        return
    unlike = sum(not _begins_with_first(answer) for answer in answers)
    if unlike:
        yield f"{test} has {unlike} answers that do not begin with their first token."


def _begins_with_first(answer: LoggedAnswer) -> bool:
    first = answer.first_ids
    if first is None or not len(first):
        return False
    return bool(answer.ids[: len(first)].tolist() == first.tolist())
