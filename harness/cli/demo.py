"""`enginebench demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli.options import RoundName
from harness.cli.output import Output
from harness.rules.rounds import DEFAULT

if TYPE_CHECKING:
    from harness.demo import DemoRow


def demo(
    *,
    output: Path = Path("results/demo"),
    fresh: bool = False,
    round: RoundName = DEFAULT,
    json: bool = False,
) -> None:
    """Build three engines of the bundled model and benchmark them in short form, side by side.

    Parameters
    ----------
    output
        Where the runs go; runs that are complete there are taken up again.
    fresh
        Measure again what was measured before.
    json
        Write the table to standard output as JSON.
    """
    from harness.demo import run_demo
    from harness.progress import make_progress
    from harness.rules.rounds import load_round
    from harness.rules.scenario import Scenario

    out = Output(as_json=json)
    progress = make_progress()
    try:
        chosen = load_round(round)
        rows = [runs.row for runs in run_demo(output, progress, fresh=fresh, chosen=chosen)]
    finally:
        progress.close()
    out.say()
    _show(out, rows)
    out.say()
    out.say(
        "Short runs of a demo workload: they compare the recipes, and are no benchmark results. "
        f"p99 of {rows[0].num_latency_samples} queries is the slowest of them."
    )
    invalid = {name for row in rows for name, said in row.verdicts.items() if said != "VALID"}
    if invalid:
        out.say(f"INVALID by LoadGen's rules (run.json says why): {', '.join(sorted(invalid))}.")
    out.say(f"Runs, with LoadGen's own logs: {output}")
    out.result([row.model_dump(mode="json") for row in rows])
    server = ["--model", "newsbrief", "--recipe", "int8_wo", "--scenario", Scenario.SERVER]
    of_round = [] if round == DEFAULT else ["--round", round]
    trial = ["--count", 1000, *of_round]
    out.next("run", *server, *trial)


def _show(out: Output, rows: list[DemoRow]) -> None:
    """At most 79 columns wide: the first terminal that somebody opens has 80."""
    base = rows[0].accuracy.rouge1
    out.table(
        [
            "recipe",
            "MB",
            "Offline\ntokens/s",
            "Server\nTTFT ms\np50/p99",
            "Server\nTPOT ms\np50/p99",
            "one alone\nTTFT ms\np50/p99",
            "one alone\nTPOT ms\np50/p99",
            "ROUGE-1",
        ],
        [
            [
                row.recipe,
                f"{row.size_bytes / 1e6:.1f}",
                f"{row.tokens_per_s:,.0f}",
                _pair(row.server.ttft_p50_s, row.server.ttft_p99_s),
                _pair(row.server.tpot_p50_s, row.server.tpot_p99_s),
                _pair(row.single_stream.ttft_p50_s, row.single_stream.ttft_p99_s),
                _pair(row.single_stream.tpot_p50_s, row.single_stream.tpot_p99_s),
                _score(row.accuracy.rouge1, base, first=row is rows[0]),
            ]
            for row in rows
        ],
    )


def _pair(*times_s: float | None) -> str:
    """In milliseconds, to three digits or to whole ones."""
    return "/".join(
        "-" if time_s is None else f"{time_s * 1e3:.{1 if time_s < 0.1 else 0}f}"
        for time_s in times_s
    )


def _score(value: float, base: float, *, first: bool) -> str:
    return f"{value:.2f}" if first else f"{value:.2f} {value - base:+.2f}"
