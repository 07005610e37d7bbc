"""ROUGE of two candidates on the samples that both answered: differences with intervals over the
samples, and shares of the baseline's score that are kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from harness.report.comparison import Change, Divergence, GateLevel, Outcome
from harness.report.divergence import divergence_of
from harness.report.metrics import ROUGE
from harness.report.samples import Samples, read_samples
from harness.report.statistics import FEWEST_DIFFERENT, Interval, mean_intervals

if TYPE_CHECKING:
    from harness.report.candidate import Candidate
    from harness.report.result import Result

LEVELS = (0.99, 0.999)


@dataclass(frozen=True, slots=True)
class Scores:
    """What the answers of both say."""

    changes: tuple[Change, ...]
    gates: tuple[GateLevel, ...]
    divergence: Divergence


def compare_scores(baseline: Candidate, other: Candidate) -> tuple[Scores | None, tuple[str, ...]]:
    """The scores of both side by side, None where they cannot be, and what must be said of them."""
    ours, theirs = baseline.scored, other.scored
    if ours is None or theirs is None:
        return None, ()
    try:
        left, right = read_samples(ours), read_samples(theirs)
    except EnginebenchError as error:
        return None, (f"Their answers are not compared: {error}",)
    common = [
        sample
        for sample, text in left.texts.items()
        if sample in right.texts and right.texts[sample].reference == text.reference
    ]
    if not common:
        return None, ("They answered different samples, so that their ROUGE is not compared.",)
    partial = len(common) < max(len(left.texts), len(right.texts))
    notes = (
        f"ROUGE is compared on the {len(common)} samples that both answered, of "
        f"{len(left.texts)} and {len(right.texts)}.",
    )
    return _scores((ours, left), (theirs, right), common, partial), notes if partial else ()


def _scores(
    ours: tuple[Result, Samples], theirs: tuple[Result, Samples], common: list[int], partial: bool
) -> Scores:
    import numpy as np

    left, right = ours[1].rows(common), theirs[1].rows(common)
    means = [
        rows.mean(axis=0).tolist() if partial else _recorded(result)
        for (result, _), rows in zip((ours, theirs), (left, right), strict=True)
    ]
    columns = [right - share * left for share in (1.0, *LEVELS)]
    found = mean_intervals(np.concatenate(columns, axis=1))
    equal = [bool(np.array_equal(left[:, k], right[:, k])) for k in range(len(ROUGE))]
    return Scores(
        changes=tuple(_changes(means, found, equal, len(common))),
        gates=tuple(_gates(means, found[len(ROUGE) :])),
        divergence=divergence_of(
            ours[1], theirs[1], common, same_ids=_same_ids(ours[0], theirs[0])
        ),
    )


def _recorded(result: Result) -> list[float]:
    assert result.accuracy is not None, "it was scored"
    return [getattr(result.accuracy.scores, metric.name) for metric in ROUGE]


def _same_ids(ours: Result, theirs: Result) -> bool:
    """Whether ids mean the same to both: they are of one checkpoint, or of a server whose prompts
    had the same ids, where none were made of text.
    """
    if ours.record.served is not None or theirs.record.served is not None:
        counted = any(each.record.executor.counts_by_tokenizer for each in (ours, theirs))
        return not counted and ours.record.dataset.digest == theirs.record.dataset.digest
    engines = [result.engine for result in (ours, theirs)]
    return len({engine and engine.identity.checkpoint for engine in engines}) == 1


def _changes(
    means: list[list[float]], found: list[Interval | None], equal: list[bool], num: int
) -> Iterator[Change]:
    for metric, before, after, interval, same in zip(
        ROUGE, *means, found[: len(ROUGE)], equal, strict=True
    ):
        whole = Interval(low=0.0, high=0.0) if same else interval
        yield Change(
            metric=metric.name,
            scenario=None,
            baseline=before,
            other=after,
            change=(after - before) / before if before else 0.0,
            change_interval=whole.scaled(1 / before) if whole and before else None,
            difference=after - before,
            difference_interval=whole,
            counts=(num, num),
            outcome=_outcome(after - before, interval, same, num),
        )


def _outcome(difference: float, interval: Interval | None, same: bool, num: int) -> Outcome:
    if same:
        return "equal"
    if num < FEWEST_DIFFERENT:
        return "not known"
    if interval is None or interval.holds(0.0):
        return "not told apart"
    return "better" if difference > 0 else "worse"


def _gates(means: list[list[float]], found: list[Interval | None]) -> Iterator[GateLevel]:
    """`found` are intervals of what is left above each limit."""
    above = iter(found)
    for level in LEVELS:
        for metric, before, after in zip(ROUGE, *means, strict=True):
            interval = next(above)
            yield GateLevel(
                against="baseline",
                level=level,
                metric=metric.name,
                value=after,
                limit=before * level,
                passed=after >= before * level,
                certain=None if interval is None else not interval.holds(0.0),
            )
