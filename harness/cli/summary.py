"""A finished run, as a person reads it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EXIT_OK
from build_engine.progress import size_text
from build_engine.validation import counted
from harness.cli.simulated_text import show_beside
from harness.runs.folder import new_folder
from harness.runs.marks import named_plainly
from harness.runs.repeats import folder_name
from harness.runs.simulated import NO_ACCURACY
from harness.runs.worth import told
from harness.scoring.rouge import METRICS

if TYPE_CHECKING:
    from harness.cli.output import Output
    from harness.loadgen.metrics import Metrics
    from harness.machine.load import MachineLoad
    from harness.runs.record import AccuracyRecord, Mark, TestRecord
    from harness.runs.run import Run

_OF_A_TRIAL = ("--count", "--duration")
_OF_LIMIT = {"all": "of the limit", "p90": "of the limit at p90"}


def show_run(out: Output, run: Run) -> None:
    """Figures, verdicts, accuracy with its gates, and where everything lies."""
    record = run.record
    marks = f" [{', '.join(record.marks)}]" if record.marks else ""
    of = ""
    if record.served is not None:
        of = f"{record.model} by {record.recipe}, "
    elif record.model is not None:
        of = f"{record.model} {named_plainly(record.recipe, record.target, record.marks)}, "
    out.say()
    out.say(f"{of}{record.workload.name} {record.scenario}{marks}: {record.status}")
    for mode, test in record.tests.begun.items():
        _show_test(out, mode, test, record.marks)
        if mode == "performance":
            _show_limits(out, run)
            show_beside(out, run)
            _show_repeats(out, run)
    if record.accuracy:
        _show_accuracy(out, record.accuracy)
    if record.simulated is not None:
        out.say(f"  accuracy: skipped, as {NO_ACCURACY}")
    if record.cause:
        out.say(f"Cause: {record.cause}")
    out.say(f"Results are in {run.folder.path}")
    _show_next_step(out, run)


def milliseconds(value_s: float | None) -> str:
    """A time for a table."""
    return "-" if value_s is None else f"{value_s * 1e3:,.1f}"


def _show_test(out: Output, name: str, test: TestRecord, marks: Sequence[Mark]) -> None:
    if test.status != "complete":
        done = test.last_figures.done if test.last_figures else 0
        out.say(f"  {name}: {test.status} after {counted(done, 'answer')}")
        return
    if test.metrics and test.metrics.by_name:
        _show_metrics(out, name, test.metrics)
        if test.primary:
            primary = test.primary
            out.say(f"    result  {primary.value:,.6g} {primary.unit} ({primary.key})")
        _show_latencies(out, test.metrics)
        if test.load:
            _show_load(out, test.load)
    first, *rules = told(test.verdict, marks)
    out.say(f"  {name}: {first}{' because' if rules else ''}")
    for rule in rules:
        out.say(f"    {rule}")


def _show_limits(out: Output, run: Run) -> None:
    """How much of what the machine can do, or why that is not known."""
    record = run.record
    if record.limits is not None:
        for part in record.limits.parts:
            name = _OF_LIMIT.get(part.name, part.name)
            out.say(f"    {name}: {part.sentence}")
        out.say(f"    peaks: {record.limits.inputs.sentence}")
    elif record.no_limits is not None:
        out.say(f"    of the limit: not known: {record.no_limits}")


def _show_load(out: Output, load: MachineLoad) -> None:
    if load.engine_peak_bytes is not None:
        held = size_text(load.engine_peak_bytes)
        out.say(f"    memory  {held} (the most that the engine's process held)")
    if load.busy:
        out.say(f"    {load.busy}")


def _show_metrics(out: Output, name: str, metrics: Metrics) -> None:
    rates = {"samples/s": (metrics.samples_per_s, 2), "tokens/s": (metrics.tokens_per_s, 0)}
    shown = [f"{rate:,.{digits}f} {unit}" for unit, (rate, digits) in rates.items() if rate]
    if shown:
        out.say(f"  {name}: {', '.join(shown)}")


def _show_repeats(out: Output, run: Run) -> None:
    """The tests after the first, and what all of them say together."""
    repeats = run.record.repeats
    if repeats is None:
        return
    for number, test in enumerate(repeats.tests, start=2):
        _show_test(out, folder_name(number), test, run.record.marks)
    tests = run.record.performance_tests
    invalid = [str(n) for n, test in enumerate(tests, start=1) if not test.verdict.valid]
    note = f" ({counted(len(invalid), 'test')} INVALID: {', '.join(invalid)})" if invalid else ""
    for spread in repeats.spreads:
        out.say(
            f"  {spread.name}: median {spread.median:,.6g} {spread.unit} of "
            f"{len(tests)} tests, {spread.low:,.6g} to {spread.high:,.6g}{note}"
        )


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
    digits = 4 if accuracy.gates else 2  # gates are that exact; a part of a dataset is not
    rouge = ", ".join(f"{metric} {getattr(scores, metric):.{digits}f}" for metric in METRICS)
    out.say(
        f"  accuracy: {rouge}; {scores.gen_len:,} characters in all, of "
        f"{counted(scores.gen_num, 'answer')}"
    )
    for gate in accuracy.gates:
        out.say(f"    {gate.sentence}")
    if not accuracy.gates:
        out.say("  accuracy: scored, no gate")


def _show_next_step(out: Output, run: Run) -> None:
    """The same run whole, or once more where it was stopped; the audit of what can be packed."""
    record = run.record
    if record.status == "complete" and run.exit_code != EXIT_OK:
        out.advice("change what is named above, and run again")
    elif record.status == "failed":
        out.advice(f"mend the cause, and run again: {out.command(*_again(run))}")
    elif record.status != "complete" or "short" in record.marks:
        out.next(*_again(run))
    elif record.marks or record.tests.performance is None:
        out.advice("run the other scenarios, and other recipes, and compare them")
    else:
        out.next("audit", run.folder.path)


def _again(run: Run) -> list[str]:
    """The words of the same run, into a folder of its own; of a whole one after a trial."""
    record = run.record
    less = _OF_A_TRIAL if record.status == "complete" else ()
    return again_in(record.command, run.folder.path, less)


def again_in(command: str, folder: Path, less: tuple[str, ...] = ()) -> list[str]:
    """The words of a run's `command`, into another folder than `folder`, without the options in
    `less`.
    """
    given = shlex.split(command)[1:]
    words = list(_without(given, ("--output", *less)))
    return [*words, "--output", new_folder(str(folder))] if "--output" in given else words


def _without(words: list[str], options: tuple[str, ...]) -> Iterator[str]:
    """The words of a command without these options and their values."""
    left = iter(words)
    for word in left:
        name, _, value = word.partition("=")
        if name not in options:
            yield word
        elif not value:
            next(left, None)
