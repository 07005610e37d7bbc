"""Rehearsals of plans in virtual time, as a person reads them, and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from harness.figures import duration
from harness.runs.simulated import NO_ACCURACY

if TYPE_CHECKING:
    from harness.cli.output import Output
    from harness.runs.run import Run
    from harness.simulation.rehearsal import Rehearsal


def show_rehearsals(out: Output, label: str, rehearsals: Sequence[Rehearsal]) -> None:
    """Those of one plan; nothing where there are none."""
    if not rehearsals:
        return
    columns = ["scenario", "queries/s", "tokens/s", "TTFT p99", "TPOT p99", "takes"]
    out.table(columns, [_row(each) for each in rehearsals], title=f"SIMULATED: {label}")
    out.say(
        "Simulated at the typical efficiency, with the highest rates within the latency limits: "
        f"nothing was measured. There is no accuracy, as {NO_ACCURACY}."
    )
    verdicts = "; ".join(_verdict(each) for each in rehearsals)
    out.say(f"SIMULATED verdict: {verdicts}; accuracy skipped, as {NO_ACCURACY}.")


def show_side_by_side(out: Output, found: Mapping[str, Sequence[Rehearsal]]) -> None:
    """Those of several plans, by their labels: what they reach in each scenario."""
    scenarios = dict.fromkeys(each.scenario for several in found.values() for each in several)
    if len(found) < 2 or not scenarios:
        return
    units = [f"{name}\n{'1/s' if name.has_rate else 'tok/s'}" for name in scenarios]
    rows = []
    for label, several in found.items():
        reached = {each.scenario: _reached(each) for each in several}
        rows.append([label, *(reached.get(name, "-") for name in scenarios)])
    out.table(["engine", *units], rows, title="SIMULATED, side by side")


def show_beside(out: Output, run: Run) -> None:
    """A run of a simulated engine beside the same in virtual time."""
    from harness.simulation.beside import in_virtual_time

    test = in_virtual_time(run)
    if test is None:
        return
    seen = test.metrics
    p99 = {"TTFT": seen.ttft_p99_s, "TPOT": seen.tpot_p99_s, "LATENCY": seen.latency_p99_s}
    told = ", ".join(f"{name} p99 {s * 1e3:,.1f} ms" for name, s in p99.items() if s is not None)
    out.say(
        f"    in virtual time {seen.tokens_per_s or 0.0:,.0f} tokens/s, {told}: what was measured "
        "beyond is this machine's and the harness's part"
    )


def rehearsed(rehearsals: Sequence[Rehearsal]) -> list[dict[str, object]]:
    """The same as plain JSON values."""
    return [
        {
            "mark": "simulated",
            "scenario": each.scenario,
            "target_qps": each.target_qps,
            "test": each.test.model_dump(mode="json") if each.test else None,
            "verdict": each.verdict.model_dump(mode="json"),
            "accuracy_skipped": NO_ACCURACY,
        }
        for each in rehearsals
    ]


def _row(rehearsal: Rehearsal) -> list[str]:
    rate, test = rehearsal.target_qps, rehearsal.test
    if test is None:
        return [str(rehearsal.scenario), "none is VALID", *("-" * 4)]
    seen = test.metrics
    return [
        str(rehearsal.scenario),
        "-" if rate is None else f"{rate:,.3g}",
        f"{seen.tokens_per_s or 0.0:,.0f}",
        *(
            "-" if value is None else f"{value * 1e3:,.0f} ms"
            for value in (seen.ttft_p99_s, seen.tpot_p99_s)
        ),
        duration(test.duration_s),
    ]


def _verdict(rehearsal: Rehearsal) -> str:
    """In words; where it is INVALID at every rate, with what fails at the lowest."""
    rate, verdict = rehearsal.target_qps, rehearsal.verdict
    if verdict.valid:
        most = "" if rate is None else f" up to {rate:,.3g} queries/s"
        return f"{rehearsal.scenario} VALID{most}"
    failed = (
        f"{rule.name}: {rule.measured}, the limit is {rule.allowed}"
        for rule in verdict.rules
        if not rule.passed
    )
    return f"{rehearsal.scenario} INVALID at every rate ({', and '.join(failed)})"


def _reached(rehearsal: Rehearsal) -> str:
    rate, test = rehearsal.target_qps, rehearsal.test
    if test is None:
        return "-"
    return f"{test.metrics.tokens_per_s or 0.0:,.0f}" if rate is None else f"{rate:,.3g}"
