"""The accuracy test of a result: its log, accuracy.txt and its gates, and the truncated answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from build_engine.errors import RunFailed
from build_engine.files import Unreadable, read_lossy
from harness.loadgen import logs
from harness.loadgen.folder import ACCURACY, ACCURACY_TXT, DETAIL, SUMMARY
from harness.rules.rounds import Benchmark, Round
from harness.rules.scenario import Scenario
from harness.runs.conditions.answers import accuracy_samples
from harness.runs.conditions.any_test import of_any_test
from harness.scoring.accuracy import Gate
from harness.submission.checks.performance import broken
from harness.submission.tree import MAX_TEXT_BYTES, Result, original
from harness.submission.truncate import recorded_hash

# As the checker reads them, from the start of a line: a count must follow its key as plain digits.
_ROUGE_TEXT = r".*'{}':\s+'?([\d.]+)'?.*"
_LENGTH_TEXT = r".*'gen_len':\s([\d.]+).*"
_NUMPY = re.compile(r"np\.\w+\(")


def accuracy_problems(
    result: Result, scenario: Scenario, rules: Benchmark, chosen: Round
) -> Iterator[str]:
    """What is wrong with `accuracy/`."""
    for name in (DETAIL, SUMMARY, ACCURACY, ACCURACY_TXT):
        if not (result.accuracy / name).is_file():
            yield f"accuracy/{name} is missing; pack the run again."
            return
    yield from _detail(result, scenario, rules, chosen)
    try:
        text = read_lossy(result.accuracy / ACCURACY_TXT, MAX_TEXT_BYTES)
    except Unreadable as problem:
        yield f"accuracy/{ACCURACY_TXT} {problem}; pack the run again."
        return
    yield from _scores(text, rules, closed=result.by.division != "open")
    yield from _answers(result, text, chosen)


def _detail(result: Result, scenario: Scenario, rules: Benchmark, chosen: Round) -> Iterator[str]:
    try:
        log = logs.read_detail(result.accuracy)
    except RunFailed as error:
        yield f"{error}."
        return
    yield from broken("accuracy", of_any_test(log, chosen, "accuracy", scenario))
    yield from broken("accuracy", [accuracy_samples(log, rules.num_samples)])


def _scores(text: str, rules: Benchmark, *, closed: bool) -> Iterator[str]:
    """The five scores; their gates bind the closed division only."""
    lines = text.splitlines()
    if _NUMPY.search(text):
        yield (
            "accuracy.txt holds a NumPy number (np.int64), which the checker cannot read; score "
            "the run again."
        )
    for metric, (low, high) in rules.accuracy.gates.items():
        pattern = _LENGTH_TEXT if metric == "gen_len" else _ROUGE_TEXT.format(metric)
        found = [match.group(1) for line in lines if (match := re.match(pattern, line))]
        if not found:
            yield f"accuracy.txt has no {metric} that the checker can read; score the run again."
        for shown in found:
            try:
                gate = Gate.of(metric, float(shown), low, high)
            except ValueError:
                yield f"accuracy.txt has {metric} {shown}, which is no number."
                continue
            if closed and not gate.passed:
                yield f"{gate.sentence}."


def _answers(result: Result, text: str, chosen: Round) -> Iterator[str]:
    """The accuracy log is truncated, and accuracy.txt has the digest of the whole."""
    log = result.accuracy / ACCURACY
    size = log.stat().st_size
    if size > chosen.max_accuracy_log_bytes:
        yield (
            f"accuracy/{ACCURACY} has {size:,} bytes and is not truncated to "
            f"{chosen.max_accuracy_log_bytes:,}; truncate it, and keep the whole."
        )
    digest = recorded_hash(text)
    if digest is None:
        yield "accuracy.txt has no hash= line, the sha256 of the whole accuracy log."
        return
    whole = original(log, result.by.root)
    try:
        content = logs.read_log(log)
        if logs.is_cut(content):
            if not whole.is_file():
                return  # it may be kept elsewhere
            log, content = whole, logs.read_log(whole)
    except RunFailed as error:
        yield f"{error}."
        return
    if hashlib.sha256(content).hexdigest() != digest:
        yield f"the hash of accuracy.txt is not that of {log.name} in {log.parent}."
