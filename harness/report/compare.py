"""Candidates beside a baseline: figures, changes with their intervals, gates, and who is worth
choosing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from build_engine.errors import UsageError
from build_engine.fields import different
from harness.loadgen.metrics import mean
from harness.report.comparison import (
    CandidateSummary,
    Change,
    Comparison,
    Figure,
    GateLevel,
    Outcome,
    Pair,
    Setting,
)
from harness.report.configuration import engine_settings, surroundings
from harness.report.gaps import comparable, gaps_of, values_of
from harness.report.metrics import MB, MEMORY, METRICS, ROUGE, SIZE, TIMED, Metric
from harness.report.notes import doubts_of, notes_of
from harness.report.pareto import pareto_of
from harness.report.scores import LEVELS, compare_scores
from harness.report.sentences import sentences_of
from harness.report.statistics import Interval, ratio, ratio_interval
from harness.rules.gates import ROUGE as GATED

if TYPE_CHECKING:
    from harness.report.candidate import Candidate
    from harness.rules.scenario import Scenario

_EXACT = (SIZE.name,)  # no noise: every byte of a difference is one


def compare(
    candidates: Sequence[Candidate], baseline: Candidate, *, simulated: bool = False
) -> Comparison:
    """Every other candidate beside the baseline, in their order.

    Raises UsageError when simulated results are among measured ones, unless `simulated` asks for
    that: they keep their mark and have a doubt.
    """
    if not simulated:
        _refuse_pretence(candidates)
    others = [candidate for candidate in candidates if candidate is not baseline]
    summaries = tuple(_summary(candidate) for candidate in (baseline, *others))
    pairs = tuple(
        _pair(baseline, other, summaries[0], summary)
        for other, summary in zip(others, summaries[1:], strict=True)
    )
    return Comparison(
        baseline=baseline.label,
        candidates=summaries,
        pairs=pairs,
        pareto=pareto_of(summaries),
    )


def _refuse_pretence(candidates: Sequence[Candidate]) -> None:
    simulated = [each for each in candidates if each.first.is_simulated]
    if simulated and len(simulated) < len(candidates):
        raise UsageError(
            f"{simulated[0].first.folder} is a simulated run: its figures are a time model's, and "
            "are held against measured ones on request only; leave it out, or add --simulated."
        )


def _summary(candidate: Candidate) -> CandidateSummary:
    first = candidate.first
    return CandidateSummary(
        label=candidate.label,
        recipe=candidate.recipe,
        target=first.target,
        model=first.model,
        engine_key=first.engine_key,
        emulated=first.is_emulated,
        marks=candidate.marks,
        doubts=tuple(doubts_of(candidate)),
        machine=str(first.machine),
        runs=tuple(str(result.folder) for result in candidate.results),
        verdicts={s: tuple(candidate.verdict(s)) for s in candidate.scenarios},
        figures=tuple(_figures(candidate)),
        gates=tuple(_reference_gates(candidate)),
        of_limit={
            scenario: whole.of_overlap
            for scenario in candidate.scenarios
            if (limits := candidate.limits(scenario)) and (whole := limits.part("all"))
        },
    )


def _figures(candidate: Candidate) -> Iterator[Figure]:
    for scenario in candidate.scenarios:
        for metric in TIMED:
            found = values_of(candidate, scenario, metric)
            values = [value * metric.scale for value in found if value is not None]
            if values and len(values) == len(found):
                yield _figure(metric, values, scenario)
    if candidate.accuracy is not None:
        for metric in ROUGE:
            yield _figure(metric, [getattr(candidate.accuracy.scores, metric.name)])
    if candidate.first.is_emulated:
        return  # what it takes here says nothing of the GPU
    if candidate.first.size_bytes is not None:
        yield _figure(SIZE, [candidate.first.size_bytes / MB])
    peaks = [result.peak_memory_bytes for result in candidate.results]
    held = [peak / MB for peak in peaks if peak is not None]
    if held:
        yield Figure(metric=MEMORY.name, scenario=None, value=max(held), values=tuple(held))


def _figure(metric: Metric, values: Sequence[float], scenario: Scenario | None = None) -> Figure:
    return Figure(metric=metric.name, scenario=scenario, value=mean(values), values=tuple(values))


def _reference_gates(candidate: Candidate) -> Iterator[GateLevel]:
    """Against the workload's reference, where the whole of its data was asked."""
    accuracy, target = candidate.accuracy, candidate.first.record.workload.accuracy
    if accuracy is None or target is None or not accuracy.gates:
        return
    for level in LEVELS:
        for name in GATED:
            value, limit = getattr(accuracy.scores, name), target.reference[name] * level
            yield GateLevel(
                against="reference",
                level=level,
                metric=METRICS[name].name,
                value=value,
                limit=limit,
                passed=value >= limit,
                certain=None,
            )


def _pair(
    baseline: Candidate, other: Candidate, left: CandidateSummary, right: CandidateSummary
) -> Pair:
    scores, doubts = compare_scores(baseline, other)
    changes = (
        *_speed_changes(baseline, other, left, right),
        *(scores.changes if scores else ()),
        *_size_changes(left, right),
    )
    return Pair(
        baseline=left.label,
        other=right.label,
        notes=(*notes_of(baseline, other), *doubts),
        settings=tuple(_settings(baseline, other)),
        changes=changes,
        gaps=tuple(gaps_of(baseline, other)),
        gates=scores.gates if scores else (),
        divergence=scores.divergence if scores else None,
        sentences=tuple(sentences_of(left.label, right.label, changes)),
    )


def _settings(baseline: Candidate, other: Candidate) -> Iterator[Setting]:
    """Only what differs."""
    left, right = (
        {**engine_settings(each.first), **surroundings(each.first)} for each in (baseline, other)
    )
    for field, ours, theirs in different(left, right):
        yield Setting(field=field, baseline=ours, other=theirs)


def _speed_changes(
    baseline: Candidate, other: Candidate, left: CandidateSummary, right: CandidateSummary
) -> Iterator[Change]:
    for scenario in baseline.scenarios:
        paired = _took_turns(baseline, other, scenario)
        for metric in TIMED:
            ours, theirs = left.figure(metric.name, scenario), right.figure(metric.name, scenario)
            if ours is None or theirs is None or not comparable([*ours.values], [*theirs.values]):
                continue
            if not any(ours.values):  # nor any of theirs
                yield change_of(ours, theirs, 0.0, None)
                continue
            interval = ratio_interval(ours.values, theirs.values, paired=paired)
            change = ratio(ours.values, theirs.values) - 1
            relative = None if interval is None else interval.shifted(-1.0)
            yield change_of(ours, theirs, change, relative)


def _took_turns(baseline: Candidate, other: Candidate, scenario: Scenario) -> bool:
    """Whether the tests of both were measured alternately, each in a run of its own."""
    sides = [
        [result for result in each.scenarios.get(scenario, ()) if result.metrics]
        for each in (baseline, other)
    ]
    if len(sides[0]) != len(sides[1]):
        return False
    if any(len(result.metrics) != 1 for side in sides for result in side):
        return False
    turns = [sorted(result.started_utc for result in pair) for pair in zip(*sides, strict=True)]
    return all(turn[1] <= later[0] for turn, later in pairwise(turns))


def _size_changes(left: CandidateSummary, right: CandidateSummary) -> Iterator[Change]:
    for metric in (SIZE, MEMORY):
        ours, theirs = left.figure(metric.name), right.figure(metric.name)
        if ours is not None and theirs is not None and ours.value > 0:
            yield change_of(ours, theirs, theirs.value / ours.value - 1, None)


def change_of(ours: Figure, theirs: Figure, change: float, interval: Interval | None) -> Change:
    """One figure beside the baseline's, by its relative change."""
    return Change(
        metric=ours.metric,
        scenario=ours.scenario,
        baseline=ours.value,
        other=theirs.value,
        change=change,
        change_interval=interval,
        difference=theirs.value - ours.value,
        difference_interval=None if interval is None else interval.scaled(ours.value),
        counts=(len(ours.values), len(theirs.values)),
        outcome=outcome_of(METRICS[ours.metric], change, interval),
    )


def outcome_of(metric: Metric, change: float, interval: Interval | None) -> Outcome:
    """What the data tell of a change."""
    if change == 0:
        return "equal"
    if interval is None and metric.name not in _EXACT:
        return "not known"
    if interval is not None and interval.holds(0.0):
        return "not told apart"
    return "better" if (change > 0) == metric.higher_is_better else "worse"
