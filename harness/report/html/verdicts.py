"""The table of verdicts: each candidate in one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.report.html.cells import NOTHING, Cell, number, signed
from harness.report.html.page import Table

if TYPE_CHECKING:
    from harness.report.comparison import Comparison, Figure
    from harness.report.html.outcome import Outcome
    from harness.report.statistics import Interval


def verdicts_table(
    outcomes: Sequence[Outcome], comparison: Comparison, chosen: str | None
) -> Table:
    """In the order of the candidates; what is beside the baseline has its 95 % interval."""
    scenario = outcomes[0].scenario
    beside = (
        f"Each candidate beside {outcomes[0].label}, the baseline; 95 % intervals in brackets. "
        "A figure of several tests is their geometric mean."
    )
    return Table(
        caption=beside if len(outcomes) > 1 else "What was measured.",
        columns=(
            "candidate",
            f"{scenario} tokens/s" if scenario else "tokens/s",
            "speed-up",
            "ROUGE-1",
            "difference",
            "keeps 99\N{NO-BREAK SPACE}%",
            "engine,\N{NO-BREAK SPACE}MB",
            "memory,\N{NO-BREAK SPACE}MB",
            "rules",
        ),
        rows=tuple(_row(each) for each in outcomes),
        notes=tuple(
            f"ROUGE-1 of {pair.other} is that of the {change.counts[1]} samples that it has in "
            f"common with {pair.baseline}, which scores {change.baseline:.2f} on them."
            for pair, change in comparison.in_common
        ),
        emphasised=chosen or "",
    )


def _row(outcome: Outcome) -> tuple[Cell, ...]:
    summary, change = outcome.summary, outcome.rouge1_change
    score = outcome.score
    return (
        Cell(outcome.label),
        _figure(outcome.speed, "throughput"),
        _with_interval(outcome.speed_up, outcome.speed_up_interval, lambda value: f"{value:.2f}"),
        Cell(NOTHING) if score is None else Cell(f"{score:.2f}", score, "rouge1"),
        _with_interval(
            change.difference if change else None,
            change.difference_interval if change else None,
            signed,
        ),
        Cell(_kept(outcome)),
        _figure(summary.figure("size"), "size"),
        _figure(summary.figure("memory"), "memory"),
        Cell(_rules(outcome)),
    )


def _kept(outcome: Outcome) -> str:
    if outcome.is_baseline:
        return "baseline"
    return {True: "yes", False: "no", None: NOTHING}[outcome.keeps_accuracy]


def _rules(outcome: Outcome) -> str:
    """Where its runs break LoadGen's rules or ours."""
    if outcome.summary.emulated:
        return "accuracy only"
    if outcome.summary.simulated:
        return "simulated"
    broken = outcome.summary.invalid
    return f"INVALID: {', '.join(broken)}" if broken else "met"


def _figure(figure: Figure | None, name: str) -> Cell:
    return number(None if figure is None else figure.value, name=name)


def _with_interval(
    value: float | None, interval: Interval | None, shown: Callable[[float], str]
) -> Cell:
    if value is None:
        return Cell(NOTHING)
    text = shown(value)
    if interval is not None:
        text += f" ({shown(interval.low)} to {shown(interval.high)})"
    return Cell(text, value)


def warnings_of(comparison: Comparison) -> tuple[str, ...]:
    """Where like is not compared with like: each sentence once, with whom it is about where that is
    not all.
    """
    about: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        for note in pair.notes:
            about.setdefault(note, []).append(pair.other)
    num, names = len(comparison.pairs), tuple(each.label for each in comparison.candidates)
    return tuple(
        note
        if len(labels) == num or note.startswith(names)
        else f"{comparison.baseline} and {', '.join(labels)}: {note}"
        for note, labels in about.items()
    )
