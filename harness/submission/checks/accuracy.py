"""The accuracy test of a result: its log, accuracy.txt and its gates, and the truncated answers."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from build_engine.errors import RunFailed
from harness.loadgen import logs
from harness.loadgen.settings import loadgen_scenario
from harness.rules.rounds import Benchmark, Round
from harness.rules.workload import ROUGE
from harness.submission.checks.performance import log_problems
from harness.submission.tree import Result, original
from harness.submission.truncate import is_cut, recorded_hash

# As the checker reads them, from the start of a line: a count must follow its key as plain digits.
_ROUGE_TEXT = r".*'{}':\s+'?([\d.]+)'?.*"
_LENGTH_TEXT = r".*'gen_len':\s([\d.]+).*"
_NUMPY = re.compile(r"np\.\w+\(")


def accuracy_problems(result: Result, rules: Benchmark, chosen: Round) -> Iterator[str]:
    """What is wrong with `accuracy/`."""
    for name in (logs.DETAIL, logs.SUMMARY, logs.ACCURACY, "accuracy.txt"):
        if not (result.accuracy / name).is_file():
            yield f"accuracy/{name} is missing; pack the run again."
            return
    yield from _detail(result, rules, chosen)
    text = (result.accuracy / "accuracy.txt").read_text(encoding="utf-8", errors="replace")
    yield from _scores(text, rules, closed=result.by.division != "open")
    yield from _answers(result, text, chosen)


def _detail(result: Result, rules: Benchmark, chosen: Round) -> Iterator[str]:
    try:
        log = logs.read_detail(result.accuracy)
    except RunFailed as error:
        yield f"{error}."
        return
    yield from log_problems(log, chosen, "accuracy")
    mode = log.values.get("effective_test_mode")
    if mode != "AccuracyOnly":
        yield f"the accuracy log is of mode {mode}."
    scenario = log.values.get("effective_scenario")
    if scenario != loadgen_scenario(result.scenario):
        yield f"the accuracy log is of scenario {scenario}; run the accuracy test of each scenario."
    total = log.values.get("qsl_reported_total_count", 0)
    count = log.values.get("effective_accuracy_sample_count", total)  # new in LoadGen 6.0.15
    if count != rules.num_samples:
        yield f"the accuracy test answered {count:,} samples, not all {rules.num_samples:,}."


def _scores(text: str, rules: Benchmark, *, closed: bool) -> Iterator[str]:
    """The five scores; their gates bind the closed division only."""
    lines = text.splitlines()
    if _NUMPY.search(text):
        yield (
            "accuracy.txt holds a NumPy number (np.int64), which the checker cannot read; score "
            "the run again."
        )
    for metric in (*ROUGE, "gen_len"):
        pattern = _LENGTH_TEXT if metric == "gen_len" else _ROUGE_TEXT.format(metric)
        found = [match.group(1) for line in lines if (match := re.match(pattern, line))]
        if not found:
            yield f"accuracy.txt has no {metric} that the checker can read; score the run again."
        low, high = next(gate for name, gate in rules.accuracy.gates.items() if name == metric)
        for shown in found:
            try:
                value = float(shown)
            except ValueError:
                yield f"accuracy.txt has {metric} {shown}, which is no number."
                continue
            if closed and value < low:
                yield f"{metric} is {value:.10g}, below the gate of {low:.10g}."
            if closed and high is not None and value > high:
                yield f"{metric} is {value:.10g}, above the gate of {high:.10g}."


def _answers(result: Result, text: str, chosen: Round) -> Iterator[str]:
    """The accuracy log is truncated, and accuracy.txt has the digest of the whole."""
    log = result.accuracy / logs.ACCURACY
    size = log.stat().st_size
    if size > chosen.max_accuracy_log_bytes:
        yield (
            f"accuracy/{logs.ACCURACY} has {size:,} bytes and is not truncated to "
            f"{chosen.max_accuracy_log_bytes:,}; truncate it, and keep the whole."
        )
    digest = recorded_hash(text)
    if digest is None:
        yield "accuracy.txt has no hash= line, the sha256 of the whole accuracy log."
        return
    whole = original(log, result.by.root)
    if is_cut(log.read_bytes()):
        if not whole.is_file():
            return  # it may be kept elsewhere
        log = whole
    if hashlib.sha256(log.read_bytes()).hexdigest() != digest:
        yield f"the hash of accuracy.txt is not that of {log.name} in {log.parent}."
