"""From what was measured of each system to the tables and ratios that compare them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.peer_programs.job import Measured
from benchmarks.result import Figure, Table, figure, ratios

Rounds = dict[str, list[dict[int, Measured]]]
"""By system, then by round, then by concurrency."""


def output_rates(rounds: Rounds, name: str, concurrency: int) -> list[float]:
    """New tokens a second of a system, one value a round."""
    found = [measured[concurrency] for measured in rounds[name]]
    return [sum(map(len, item.answers)) / item.duration_s for item in found]


def total_rates(rounds: Rounds, name: str, concurrency: int) -> list[float]:
    """Prompt and new tokens a second of a system, one value a round."""
    found = [measured[concurrency] for measured in rounds[name]]
    return [(item.prompt_tokens + sum(map(len, item.answers))) / item.duration_s for item in found]


def rate_tables(
    rounds: Rounds, precisions: dict[str, str], reference: str, stop_ids: Sequence[int]
) -> tuple[Table, ...]:
    """Output tokens a second and agreement with `reference`; total tokens a second; each system's
    precision. Rates are medians of the rounds.
    """
    concurrencies = _concurrencies(rounds)
    heads = tuple(f"{c} at once" for c in concurrencies)
    rows = []
    totals = []
    for name in rounds:
        rates = [statistics.median(output_rates(rounds, name, c)) for c in concurrencies]
        same = _agreement(rounds, name, reference, stop_ids)
        rows.append((name, *map(figure, rates), same))
        all_rates = [statistics.median(total_rates(rounds, name, c)) for c in concurrencies]
        totals.append((name, *map(figure, all_rates)))
    return (
        Table("Output tokens/s", ("", *heads, "same tokens"), tuple(rows)),
        Table("Prompt and output tokens/s", ("", *heads), tuple(totals)),
        Table("Precision", ("", "weights, arithmetic, key/value cache"), tuple(precisions.items())),
    )


def ratio_table(rounds: Rounds, pairs: Sequence[tuple[str, str]]) -> Table:
    """Output rate of the first over that of the second, median of the rounds' ratios."""
    concurrencies = _concurrencies(rounds)
    rows = []
    for ours, theirs in pairs:
        cells = []
        for c in concurrencies:
            pair = ratios(output_rates(rounds, ours, c), output_rates(rounds, theirs, c))
            cells.append(f"{statistics.median(pair):.2f}")
        rows.append((f"{ours} / {theirs}", *cells))
    return Table("Ratios", ("", *(f"{c} at once" for c in concurrencies)), tuple(rows))


def best_figures(rounds: Rounds, ours: Sequence[str], theirs: Sequence[str]) -> tuple[Figure, ...]:
    """At each concurrency, the fastest of ours over the fastest of theirs, by median."""
    figures = []
    for c in _concurrencies(rounds):
        best = _fastest(rounds, ours, c)
        peer = _fastest(rounds, theirs, c)
        found = ratios(output_rates(rounds, best, c), output_rates(rounds, peer, c))
        name = f"{c} at once: {best} / best peer ({peer})"
        figures.append(Figure(name, "", found, at_least=1.0))
    return tuple(figures)


def _fastest(rounds: Rounds, names: Sequence[str], concurrency: int) -> str:
    return max(names, key=lambda name: statistics.median(output_rates(rounds, name, concurrency)))


def _concurrencies(rounds: Rounds) -> list[int]:
    return list(next(iter(rounds.values()))[0])


def _agreement(rounds: Rounds, name: str, reference: str, stop_ids: Sequence[int]) -> str:
    """Share of the answers of the first round that equal the reference's token for token, up to
    where the reference would have ended: beyond that some systems hold the end back.
    """
    if reference not in rounds:
        return "-"
    same = total = 0
    for concurrency, measured in rounds[name][0].items():
        theirs = rounds[reference][0][concurrency].answers
        for ids, their_ids in zip(measured.answers, theirs, strict=True):
            end = next((i for i, n in enumerate(their_ids) if n in stop_ids), len(their_ids))
            same += ids[:end] == their_ids[:end]
        total += len(theirs)
    return f"{100 * same / total:.0f} %"
