"""Which candidate to run, in one sentence with its evidence; or that the data cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.report.html.cells import TIMES, figure, signed

if TYPE_CHECKING:
    from harness.report.html.outcome import Outcome


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`chosen` is the label of what to run, None where nothing is recommended; `reasons` say what
    else a reader should know.
    """

    chosen: str | None
    sentence: str
    reasons: tuple[str, ...] = ()


def recommend(outcomes: Sequence[Outcome]) -> Recommendation:
    """The fastest candidate that keeps 99 % of the baseline's ROUGE-1, where it is certainly faster
    than the baseline.
    """
    measured = [each for each in outcomes if each.speed is not None]
    if not measured:
        return Recommendation(None, _nothing_measured(outcomes))
    if len(measured) == 1:
        return Recommendation(None, _alone(measured[0]))
    baseline = measured[0]
    if not baseline.is_baseline:
        return Recommendation(None, f"The baseline, {outcomes[0].label}, has no speed to compare.")
    others = [each for each in measured[1:] if each.speed_change is not None]
    able = [each for each in others if each.keeps_accuracy]
    best = max(able, key=_speed_up, default=None)
    reasons = (*_sacrifices(others, best), *_unscored(others))
    if best is None or _is_slower(best):
        unless = "no other candidate that keeps 99 % of its ROUGE-1 is faster"
        return Recommendation(baseline.label, f"Run {baseline.label}: {unless}.", reasons)
    evidence = _evidence(best, baseline)
    if best.speed_up_interval is None:
        doubt = f"but each was measured once in {best.scenario}, so that it may be noise"
        sentence = f"{best.label} looks fastest ({evidence}), {doubt}; repeat it (--repeat 3)."
        return Recommendation(None, sentence, reasons)
    if best.speed_up_interval.holds(1.0):
        sentence = f"The data cannot tell {best.label} from {baseline.label} in speed: {evidence}."
        return Recommendation(None, sentence, reasons)
    sentence = f"Run {best.label}: {evidence}, within 99 % of the baseline."
    return Recommendation(best.label, sentence, (*_uncertain(best), *_rivals(able, best), *reasons))


def _speed_up(outcome: Outcome) -> float:
    return outcome.speed_up or 0.0


def _is_slower(outcome: Outcome) -> bool:
    interval = outcome.speed_up_interval
    return interval.high < 1.0 if interval else _speed_up(outcome) <= 1.0


def _evidence(outcome: Outcome, baseline: Outcome) -> str:
    """1.12 times bf16's tokens/s (95 % 1.08 to 1.15), ROUGE-1 -0.1 (-0.5 to +0.3)."""
    parts = [f"{_speed_up(outcome):.2f} {TIMES} {baseline.label}'s tokens/s"]
    if outcome.speed_up_interval is not None:
        low, high = outcome.speed_up_interval.low, outcome.speed_up_interval.high
        parts[0] += f" (95 % {low:.2f} to {high:.2f})"
    change = outcome.rouge1_change
    if change is not None and change.outcome == "equal":
        parts.append("the same ROUGE-1")
    elif change is not None:
        parts.append(f"ROUGE-1 {signed(change.difference)}")
        if change.difference_interval is not None:
            low, high = change.difference_interval.low, change.difference_interval.high
            parts[-1] += f" ({signed(low)} to {signed(high)})"
    return ", ".join(parts)


def _nothing_measured(outcomes: Sequence[Outcome]) -> str:
    marks = {mark for each in outcomes for mark in each.summary.marks}
    if "simulated" in marks:
        return "Nothing is recommended: a time model answered, and no engine was measured."
    if "emulated" in marks:
        which = "Which of them is fastest" if len(outcomes) > 1 else "How fast it is"
        names = " and ".join(each.label for each in outcomes if each.summary.emulated)
        verb = "has" if len(outcomes) == 1 else "have"
        return f"{which} is not known: {names} {verb} an accuracy and no speed of a GPU."
    return "Which of them is fastest is not known: no run measured a throughput."


def _alone(outcome: Outcome) -> str:
    assert outcome.speed is not None
    score = f", ROUGE-1 {outcome.rouge1.value:.2f}" if outcome.rouge1 is not None else ""
    tokens_per_s = figure(outcome.speed.value)
    return (
        f"{outcome.label} made {tokens_per_s} tokens/s in {outcome.scenario}{score}; "
        f"no other speed is there to compare it with."
    )


def _uncertain(best: Outcome) -> tuple[str, ...]:
    """Where the score may in truth be below 99 %."""
    change = best.rouge1_change
    if change is None or change.difference_interval is None:
        return ()
    low, allowed = change.difference_interval.low, -0.01 * change.baseline
    if low >= allowed:
        return ()
    return (
        f"Its ROUGE-1 is within 99 % of the baseline's, but {change.counts[1]} samples do not rule "
        f"out a loss beyond that: the interval reaches to {signed(low)}, and 99 % is "
        f"{signed(allowed)}.",
    )


def _rivals(able: Sequence[Outcome], best: Outcome) -> tuple[str, ...]:
    """Those whose intervals overlap with that of the best."""
    ours = best.speed_up_interval
    assert ours is not None
    near = [
        each.label
        for each in able
        if each is not best
        and each.speed_up_interval is not None
        and each.speed_up_interval.high >= ours.low
    ]
    if not near:
        return ()
    return (f"Nearly as fast, with intervals that overlap: {', '.join(near)}.",)


def _sacrifices(others: Sequence[Outcome], best: Outcome | None) -> tuple[str, ...]:
    """Those that are faster than the best and the baseline, and lose too much."""
    least = max(_speed_up(best) if best else 0.0, 1.0)
    faster = [each for each in others if each.keeps_accuracy is False and _speed_up(each) > least]
    return tuple(
        f"{each.label} is faster still ({_speed_up(each):.2f} {TIMES}), but keeps less than 99 % "
        f"of the baseline's ROUGE-1 ({signed(each.rouge1_change.difference)})."
        for each in sorted(faster, key=_speed_up, reverse=True)[:3]
        if each.rouge1_change is not None
    )


def _unscored(others: Sequence[Outcome]) -> tuple[str, ...]:
    names = [each.label for each in others if each.keeps_accuracy is None]
    if not names:
        return ()
    return (f"Not considered, as their accuracy was not compared: {', '.join(names)}.",)
