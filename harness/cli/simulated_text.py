"""Rehearsals of plans in virtual time, as a person reads them, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.figures import duration

if TYPE_CHECKING:
    from build_engine.recipe import Recipe
    from harness.cli.output import Output
    from harness.simulation.rehearsal import Rehearsal


def show_rehearsals(out: Output, recipe: Recipe, rehearsals: Sequence[Rehearsal]) -> None:
    """Those of one plan; nothing where there are none."""
    if not rehearsals:
        return
    columns = ["scenario", "queries/s", "tokens/s", "TTFT p99", "TPOT p99", "takes"]
    out.table(columns, [_row(each) for each in rehearsals], title=f"SIMULATED: {recipe.name}")
    out.say(
        "Simulated at the typical efficiency, with the highest rates within the latency limits: "
        "nothing was measured. There is no accuracy, as a time model writes no text."
    )


def rehearsed(rehearsals: Sequence[Rehearsal]) -> list[dict[str, object]]:
    """The same as plain JSON values."""
    return [
        {
            "mark": "simulated",
            "scenario": each.scenario,
            "target_qps": each.target_qps,
            "test": each.test.model_dump(mode="json") if each.test else None,
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
