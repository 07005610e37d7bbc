"""A finished run, as a person reads it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from build_engine.errors import EXIT_OK
from harness.cli.output import new_folder
from harness.runs.worth import told
from harness.scoring.rouge import METRICS

if TYPE_CHECKING:
    from harness.cli.output import Output
    from harness.loadgen.metrics import Metrics
    from harness.loadgen.settings import Mode
    from harness.runs.record import AccuracyRecord, Mark, TestRecord
    from harness.runs.run import Run

_OF_A_TRIAL = ("--count", "--duration")


def show_run(out: Output, run: Run) -> None:
    """Figures, verdicts, accuracy with its gates, and where everything lies."""
    record, engine = run.record, run.record.engine
    marks = f" [{', '.join(record.marks)}]" if record.marks else ""
    of = f"{engine.model.name} {engine.identity.recipe.name}, " if engine else ""
    out.say()
    out.say(f"{of}{record.workload.name} {record.scenario}{marks}: {record.status}")
    for mode, test in record.tests.begun.items():
        _show_test(out, mode, test, record.marks)
    if record.accuracy:
        _show_accuracy(out, record.accuracy)
    if record.cause:
        out.say(f"Cause: {record.cause}")
    out.say(f"Results are in {run.folder.path}")
    _show_next_step(out, run)


def milliseconds(value_s: float | None) -> str:
    """A time for a table."""
    return "-" if value_s is None else f"{value_s * 1e3:,.1f}"


def _show_test(out: Output, mode: Mode, test: TestRecord, marks: Sequence[Mark]) -> None:
    if test.status != "complete":
        done = test.last_figures.done if test.last_figures else 0
        out.say(f"  {mode}: {test.status} after {done:,} answers")
        return
    if test.metrics and test.metrics.by_name:
        _show_metrics(out, mode, test.metrics)
        if test.primary:
            primary = test.primary
            out.say(f"    result  {primary.value:,.6g} {primary.unit} ({primary.key})")
        _show_latencies(out, test.metrics)
    first, *rules = told(test.verdict, marks)
    out.say(f"  {mode}: {first}{' because' if rules else ''}")
    for rule in rules:
        out.say(f"    {rule}")


def _show_metrics(out: Output, mode: Mode, metrics: Metrics) -> None:
    samples, tokens = metrics.samples_per_s or 0.0, metrics.tokens_per_s or 0.0
    out.say(f"  {mode}: {samples:,.2f} samples/s, {tokens:,.0f} tokens/s")


def _show_latencies(out: Output, metrics: Metrics) -> None:
    measured = {
        "TTFT": (metrics.ttft_p50_s, metrics.ttft_p90_s, metrics.ttft_p99_s),
        "TPOT": (metrics.tpot_p50_s, metrics.tpot_p90_s, metrics.tpot_p99_s),
        "LATENCY": (metrics.latency_p50_s, metrics.latency_p90_s, metrics.latency_p99_s),
    }
    for name, percentiles in measured.items():
        if percentiles[0] is not None:
            p50, p90, p99 = map(milliseconds, percentiles)
            out.say(f"    {name:8}p50 {p50} ms, p90 {p90} ms, p99 {p99} ms")


def _show_accuracy(out: Output, accuracy: AccuracyRecord) -> None:
    scores = accuracy.scores
    rouge = ", ".join(f"{metric} {getattr(scores, metric):.4f}" for metric in METRICS)
    out.say(f"  accuracy: {rouge}, gen_len {scores.gen_len:,}, gen_num {scores.gen_num:,}")
    for gate in accuracy.gates:
        out.say(f"    {gate.sentence}")
    if not accuracy.gates:
        out.say("  accuracy: scored, no gate")


def _show_next_step(out: Output, run: Run) -> None:
    """The same run whole, or once more where it did not end; the audit of a whole one."""
    record = run.record
    if record.status == "complete" and run.exit_code != EXIT_OK:
        out.advice("change what is named above, and run again")
    elif record.status == "complete" and "short" not in record.marks:
        if record.tests.performance is None:
            out.advice("run the other scenarios, and compare recipes")
        else:
            out.next("audit", run.folder.path)
    else:
        less = _OF_A_TRIAL if record.status == "complete" else ()
        words = list(_without(shlex.split(record.command)[1:], ("--output", *less)))
        out.next(*words, "--output", new_folder(str(run.folder.path)))


def _without(words: list[str], options: tuple[str, ...]) -> Iterator[str]:
    """The words of a command without these options and their values."""
    left = iter(words)
    for word in left:
        name, _, value = word.partition("=")
        if name not in options:
            yield word
        elif not value:
            next(left, None)
