"""A finished run, as a person reads it."""

from __future__ import annotations

from typing import Any

from harness.cli.output import Output
from harness.runs.execution import Run


def show_run(out: Output, run: Run) -> None:
    """Figures, verdicts, accuracy with its gates, and where everything lies."""
    content = run.content
    marks = f" [{', '.join(content['marks'])}]" if content["marks"] else ""
    engine = content["engine"]
    of = f"{engine['model']['name']} {engine['identity']['recipe']['name']}, " if engine else ""
    out.say()
    out.say(f"{of}{content['workload']} {content['scenario']}{marks}: {content['status']}")
    for mode, test in content["tests"].items():
        _show_test(out, mode, test)
    if content["accuracy"]:
        _show_accuracy(out, content["accuracy"])
    if content["cause"]:
        out.say(f"Cause: {content['cause']}")
    out.say(f"Everything lies in {run.folder}")
    out.advice(_next_step(content))


def milliseconds(value_s: float | None) -> str:
    """A time for a table."""
    return "-" if value_s is None else f"{value_s * 1e3:,.1f}"


def _show_test(out: Output, mode: str, test: dict[str, Any]) -> None:
    if test["status"] != "complete":
        figures = test["last_figures"]
        out.say(f"  {mode}: {test['status']} after {figures.get('done', 0):,} answers")
        return
    metrics = test["metrics"]
    if metrics:
        out.say(
            f"  {mode}: {metrics.get('samples_per_s', 0):,.2f} samples/s, "
            f"{metrics.get('tokens_per_s', 0):,.0f} tokens/s"
        )
        primary = test["primary"]
        if primary:
            out.say(f"    result  {primary['value']:,.6g} {primary['unit']} ({primary['key']})")
        for name in ("ttft", "tpot", "latency"):
            if f"{name}_p50_s" in metrics:
                p50, p90, p99 = (
                    milliseconds(metrics.get(f"{name}_{p}_s")) for p in ("p50", "p90", "p99")
                )
                out.say(f"    {name.upper():8}p50 {p50} ms, p90 {p90} ms, p99 {p99} ms")
    out.say(f"  {mode}: {test['verdict']['sentence']}")


def _show_accuracy(out: Output, accuracy: dict[str, Any]) -> None:
    scores = accuracy["scores"]
    rouge = ", ".join(f"{name} {scores[name]:.4f}" for name in scores if name.startswith("rouge"))
    out.say(f"  accuracy: {rouge}, gen_len {scores['gen_len']:,}, gen_num {scores['gen_num']:,}")
    for gate in accuracy["gates"]:
        out.say(f"    {gate['sentence']}")


def _next_step(content: dict[str, Any]) -> str:
    if content["status"] != "complete":
        mend = "mend the cause, then " if content["status"] == "failed" else ""
        return f"{mend}run again with a new --output"
    if "short" in content["marks"]:
        return "leave out --count and --duration for a whole run"
    return "run the other scenarios, and compare recipes"
