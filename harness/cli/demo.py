"""`enginebench demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.cli.options import RoundName
from harness.cli.output import Output, new_folder
from harness.cli.summary import milliseconds
from harness.rules.rounds import DEFAULT


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

    out = Output(as_json=json)
    progress = make_progress()
    try:
        chosen = load_round(round)
        rows = [row.figures() for row in run_demo(output, progress, fresh=fresh, chosen=chosen)]
    finally:
        progress.close()
    out.say()
    _show(out, rows)
    out.say()
    out.say(
        "Short runs of a demo workload: they compare the recipes, and are no benchmark results. "
        f"p99 of {rows[0]['num_latency_samples']} queries is the slowest of them."
    )
    invalid = {name for row in rows for name, said in row["verdicts"].items() if said != "VALID"}
    if invalid:
        out.say(f"INVALID by LoadGen's rules (run.json says why): {', '.join(sorted(invalid))}.")
    out.say(f"Runs, with LoadGen's own logs: {output}")
    out.result(rows)
    server = ["--model", "newsbrief", "--recipe", "int8_wo", "--scenario", "Server"]
    of_round = [] if round == DEFAULT else ["--round", round]
    trial = ["--count", 1000, *of_round, "--output", new_folder("results/server")]
    out.next("run", *server, *trial)


def _show(out: Output, rows: list[dict[str, Any]]) -> None:
    base = rows[0]["accuracy"]
    out.table(
        [
            "recipe",
            "size\nMB",
            "Offline\nsamples/s",
            "Offline\ntokens/s",
            "Server\nTTFT ms\np50 / p99",
            "Server\nTPOT ms\np50 / p99",
            "SingleStream\nTTFT ms\np50 / p99",
            "SingleStream\nTPOT ms\np50 / p99",
            "ROUGE-1",
            "ROUGE-L",
        ],
        [
            [
                row["recipe"],
                f"{row['size_bytes'] / 1e6:.1f}",
                f"{row['samples_per_s']:.1f}",
                f"{row['tokens_per_s']:,.0f}",
                *(
                    _pair(row[scenario], name)
                    for scenario in ("server", "single_stream")
                    for name in ("ttft", "tpot")
                ),
                *(_score(row["accuracy"], base, metric) for metric in ("rouge1", "rougeL")),
            ]
            for row in rows
        ],
    )


def _pair(figures: dict[str, float], name: str) -> str:
    return " / ".join(milliseconds(figures.get(f"{name}_{p}_s")) for p in ("p50", "p99"))


def _score(scores: dict[str, float], base: dict[str, float], metric: str) -> str:
    difference = scores[metric] - base[metric]
    return f"{scores[metric]:.2f}" + (f" ({difference:+.2f})" if scores is not base else "")
