"""A finished run, as a person reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.scoring.rouge import METRICS

if TYPE_CHECKING:
    from harness.cli.output import Output
    from harness.loadgen.metrics import Metrics
    from harness.loadgen.settings import Mode
    from harness.runs.record import AccuracyRecord, RunRecord, TestRecord
    from harness.runs.run import Run


def show_run(out: Output, run: Run) -> None:
    """Figures, verdicts, accuracy with its gates, and where everything lies."""
    record, engine = run.record, run.record.engine
    marks = f" [{', '.join(record.marks)}]" if record.marks else ""
    of = f"{engine.model.name} {engine.identity.recipe.name}, " if engine else ""
    out.say()
    out.say(f"{of}{record.workload.name} {record.scenario}{marks}: {record.status}")
    for mode, test in record.tests.begun.items():
        _show_test(out, mode, test)
    if record.accuracy:
        _show_accuracy(out, record.accuracy)
    if record.cause:
        out.say(f"Cause: {record.cause}")
    out.say(f"Everything lies in {run.folder.path}")
    out.advice(_next_step(record))


def milliseconds(value_s: float | None) -> str:
    """A time for a table."""
    return "-" if value_s is None else f"{value_s * 1e3:,.1f}"


def _show_test(out: Output, mode: Mode, test: TestRecord) -> None:
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
    out.say(f"  {mode}: {test.verdict.sentence}")


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


def _next_step(record: RunRecord) -> str:
    if record.status != "complete":
        mend = "mend the cause, then " if record.status == "failed" else ""
        return f"{mend}run again with a new --output"
    if "short" in record.marks:
        return "leave out --count and --duration for a whole run"
    return "run the other scenarios, and compare recipes"
