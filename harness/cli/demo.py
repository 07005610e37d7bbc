"""`enginebench demo`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted
from harness.cli.options import RoundName
from harness.cli.output import Output
from harness.rules.rounds import DEFAULT
from harness.rules.scenario import Scenario
from harness.streams import shell_word

if TYPE_CHECKING:
    from harness.demo import DemoRow, Latencies


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
        Remove what was measured there before, and measure everything.
    json
        Write the table to standard output as JSON.
    """
    from harness.demo import run_demo
    from harness.progress import make_progress
    from harness.report.html.report import write_report
    from harness.rules.rounds import load_round
    from harness.studies.place import REPORT

    out = Output(as_json=json)
    of_round = [] if round == DEFAULT else ["--round", round]
    words = ["demo", "--output", str(output), *of_round]
    progress = make_progress()
    try:
        chosen = load_round(round)
        command = " ".join(map(shell_word, ["enginebench", *words]))
        found = run_demo(output, progress, fresh=fresh, chosen=chosen, command=command)
        rows = [runs.row for runs in found]
    except KeyboardInterrupt:  # before it began
        anew = ["--fresh"] if fresh else []
        told = f"Interrupted; nothing was measured now, and what is in {output} stays."
        raise Interrupted(told, [*words, *anew]) from None
    finally:
        progress.close()
    try:
        page = write_report([output], output / REPORT)
    except KeyboardInterrupt:
        raise Interrupted(f"Interrupted; the runs are in {output}.", words) from None
    out.say()
    _show(out, rows)
    out.say()
    _explain(out, rows)
    out.say(f"Runs, with LoadGen's own logs: {output}")
    out.say(f"The report, for a browser: {page}")
    out.result([row.model_dump(mode="json") for row in rows])
    server = ["--model", "newsbrief", "--recipe", "int8_wo", "--scenario", Scenario.SERVER]
    trial = ["--count", 1000, *of_round]
    out.next("run", *server, *trial)


def _show(out: Output, rows: list[DemoRow]) -> None:
    base = rows[0].accuracy.rouge1
    out.table(
        [
            "recipe",
            "MB",
            "Offline\ntokens/s",
            "lowest to\nhighest",
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
                f"{row.tokens_per_s:,.0f}{_mark(row, Scenario.OFFLINE)}",
                f"{min(row.offline_tokens_per_s):,.0f} to {max(row.offline_tokens_per_s):,.0f}",
                *_latencies(row, row.server, Scenario.SERVER),
                *_latencies(row, row.single_stream, Scenario.SINGLE_STREAM),
                _score(row.accuracy.rouge1, base, first=row is rows[0]),
            ]
            for row in rows
        ],
    )


def _explain(out: Output, rows: list[DemoRow]) -> None:
    """What the figures are, and what may be read from them."""
    out.say(
        "Short runs of a demo workload: they compare the recipes, and are no benchmark results. "
        f"{_apart({row.recipe: row.offline_tokens_per_s for row in rows})} The latencies are of "
        "one test each, where a small difference may be noise; one alone, p99 of "
        f"{rows[0].num_latency_samples} queries is the slowest of them."
    )
    if busy := [load for row in rows for load in row.busy.values()]:
        low, high = (pick(load.taken for load in busy) for pick in (min, max))
        share = f"{low:.0%} to {high:.0%}" if high - low >= 0.005 else f"{high:.0%}"
        out.say(
            f"* busy machine: while these were measured, other work took {share} of the time of "
            f"{busy[0].num_cpus} CPUs"
        )
    for row in rows:
        for scenario, (said, *rules) in row.verdicts.items():
            if rules:
                out.say(f"{scenario} of {row.recipe}: {said} because")
                for rule in rules:
                    out.say(f"  {rule}")


def _apart(speeds: dict[str, tuple[float, ...]]) -> str:
    """Which recipes differ in speed by more than noise."""
    from harness.report.statistics import not_told_apart

    num, pairs = len(next(iter(speeds.values()))), not_told_apart(speeds)
    tests = f"Offline is the geometric mean of {num} tests, taken in turn"
    if not pairs:
        return (
            f"{tests}: the recipes can be told apart, as the 95 % interval of no ratio of two of "
            f"them holds 1."
        )
    if len(pairs) == math.comb(len(speeds), 2):
        return f"{tests}: the data cannot tell any two of the recipes apart."
    named = "; ".join(f"{first} and {second}" for first, second in pairs)
    return f"{tests}: the data cannot tell these apart, by the 95 % interval of a ratio: {named}."


def _latencies(row: DemoRow, measured: Latencies, scenario: Scenario) -> list[str]:
    """TTFT and TPOT."""
    mark = _mark(row, scenario)
    return [
        f"{_pair(measured.ttft_p50_s, measured.ttft_p99_s)}{mark}",
        f"{_pair(measured.tpot_p50_s, measured.tpot_p99_s)}{mark}",
    ]


def _mark(row: DemoRow, scenario: Scenario) -> str:
    """Of a number that has a note below the table."""
    return "*" if scenario in row.busy else ""


def _pair(*times_s: float | None) -> str:
    """In milliseconds, to three digits or to whole ones."""
    return "/".join(
        "-" if time_s is None else f"{time_s * 1e3:,.{1 if time_s < 0.1 else 0}f}"
        for time_s in times_s
    )


def _score(value: float, base: float, *, first: bool) -> str:
    return f"{value:.2f}" if first else f"{value:.2f} {value - base:+.2f}"
