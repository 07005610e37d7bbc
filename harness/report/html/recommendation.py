"""Which candidate to run, in one sentence with its evidence; or that the data cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.validation import counted
from harness.report.html.cells import TIMES, figure, signed
from harness.report.statistics import FEWEST_DIFFERENT

if TYPE_CHECKING:
    from harness.report.html.outcome import Outcome
    from harness.report.statistics import Interval


@dataclass(frozen=True, slots=True)
class Recommendation:
    """`chosen` is the label of what to run, None where nothing is recommended; `reasons` say what
    else a reader should know.
    """

    chosen: str | None
    sentence: str
    reasons: tuple[str, ...] = ()


def recommend(outcomes: Sequence[Outcome]) -> Recommendation:
    """Of the candidates that keep 99 % of the baseline's ROUGE-1 and are certainly faster than it,
    the one whose speed-up is the greatest even at the low end of its interval.
    """
    measured = [each for each in outcomes if each.speed is not None]
    if not measured:
        return Recommendation(None, _nothing_measured(outcomes))
    baseline = outcomes[0]
    if len(measured) > 1 and baseline.speed is None:
        return Recommendation(None, f"The baseline, {baseline.label}, has no speed to compare.")
    others = [each for each in measured if each.speed_change is not None]
    if not others:
        return Recommendation(None, _alone(measured[0]), _unmeasured(outcomes, others))
    sound = [each for each in others if not _is_broken(each, baseline)]
    able = [each for each in sound if each.keeps_accuracy]
    proven = [each for each in able if _is_faster(each)]
    best = max(proven, key=_at_least, default=None)
    reasons = (
        *_sacrifices(sound, best),
        *_broken(others, baseline),
        *_unscored(sound),
        *_unmeasured(outcomes, others),
        *_at_a_rate(baseline),
    )
    if best is not None:
        sentence = f"Run {best.label}: {_evidence(best, baseline)}, within 99 % of the baseline."
        doubts = (*_breaks(best), *_uncertain(best), *_noisy(able, best), *_rivals(able, best))
        return Recommendation(best.label, sentence, (*doubts, *reasons))
    untold = [each for each in able if not _is_slower(each)]
    if untold:
        leader = max(untold, key=_speed_up)
        return Recommendation(None, _untold(leader, baseline), reasons)
    unscored = [each for each in sound if each.keeps_accuracy is None and not _is_slower(each)]
    if unscored:
        leader = max(unscored, key=_speed_up)
        return Recommendation(None, _unjudged(leader, baseline), reasons)
    unless = "no other candidate that keeps 99 % of its ROUGE-1 is faster"
    sentence = f"Run {baseline.label}: {unless}."
    return Recommendation(baseline.label, sentence, (*_breaks(baseline), *reasons))


def _speed_up(outcome: Outcome) -> float:
    return outcome.speed_up or 0.0


def _at_least(outcome: Outcome) -> float:
    """Of one that has an interval."""
    assert outcome.speed_up_interval is not None
    return outcome.speed_up_interval.low


def _is_faster(outcome: Outcome) -> bool:
    interval = outcome.speed_up_interval
    return interval is not None and interval.low > 1.0


def _is_slower(outcome: Outcome) -> bool:
    interval = outcome.speed_up_interval
    return interval is not None and interval.high < 1.0


def _is_broken(outcome: Outcome, baseline: Outcome) -> bool:
    """Whether its tests break rules that the baseline's keep: its speed is not to be relied on."""
    scenario = outcome.scenario
    return scenario in outcome.summary.invalid and scenario not in baseline.summary.invalid


def _untold(leader: Outcome, baseline: Outcome) -> str:
    """That nobody is certainly faster than the baseline; `leader` looks most like it."""
    evidence = _evidence(leader, baseline)
    change = leader.speed_change
    assert change is not None
    if leader.speed_up_interval is not None:
        return f"The data cannot tell {leader.label} from {baseline.label} in speed: {evidence}."
    if change.change > 0:
        looks = f"{leader.label} looks fastest ({evidence})"
    else:
        looks = f"{leader.label} looks no faster than {baseline.label} ({evidence})"
    once = [n == 1 for n in change.counts]
    who = "each" if all(once) else baseline.label if once[0] else leader.label
    doubt = f"{who} was measured once in {leader.scenario}, so that it may be noise"
    return f"{looks}, but {doubt}; repeat it (--repeat 3)."


def _unjudged(leader: Outcome, baseline: Outcome) -> str:
    """That the fastest was not scored."""
    return (
        f"{leader.label} has {_evidence(leader, baseline)}, but its answers were not compared: "
        f"measure the accuracy of both (--mode both)."
    )


def _evidence(outcome: Outcome, baseline: Outcome) -> str:
    """1.12 times bf16's tokens/s (95 % 1.08 to 1.15), ROUGE-1 -0.1 (-0.5 to +0.3)."""
    parts = [f"{_shown(outcome)} {TIMES} {baseline.label}'s tokens/s"]
    if outcome.speed_up_interval is not None:
        parts[0] += f" ({_bounds(outcome.speed_up_interval)})"
    change = outcome.rouge1_change
    if change is not None and change.outcome == "equal":
        parts.append("the same ROUGE-1")
    elif change is not None:
        parts.append(f"ROUGE-1 {signed(change.difference)}")
        if change.difference_interval is not None:
            low, high = change.difference_interval.low, change.difference_interval.high
            parts[-1] += f" ({signed(low)} to {signed(high)})"
    return ", ".join(parts)


def _shown(outcome: Outcome) -> str:
    """Its speed-up, to as many digits as a difference takes to show."""
    near = abs(_speed_up(outcome) - 1) < 0.005
    return f"{_speed_up(outcome):.{3 if near else 2}f}"


def _times(outcome: Outcome) -> str:
    """1.12 times, with its interval where there is one."""
    interval = outcome.speed_up_interval
    return f"{_shown(outcome)} {TIMES}" + ("" if interval is None else f", {_bounds(interval)}")


def _bounds(interval: Interval) -> str:
    return f"95 % {interval.low:.2f} to {interval.high:.2f}"


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


def _breaks(outcome: Outcome) -> tuple[str, ...]:
    """Where its own tests are not VALID."""
    return tuple(
        f"{scenario} of {outcome.label} is INVALID: {rule}."
        for scenario, rule in outcome.summary.invalid.items()
    )


def _uncertain(best: Outcome) -> tuple[str, ...]:
    """Where the score may in truth be below 99 %."""
    change = best.rouge1_change
    if change is None:
        return ()
    kept, num = "Its ROUGE-1 is within 99 % of the baseline's", change.counts[1]
    if num < FEWEST_DIFFERENT:
        return (f"{kept}, but on {counted(num, 'sample')} that says little.",)
    if change.difference_interval is None:
        return (
            f"{kept}, but how certain that is is not known: fewer than {FEWEST_DIFFERENT} of {num} "
            f"samples score differently, which are too few for an interval.",
        )
    low, allowed = change.difference_interval.low, -0.01 * change.baseline
    if low >= allowed:
        return ()
    return (
        f"{kept}, but {num} samples do not rule out a loss beyond that: the interval reaches to "
        f"{signed(low)}, and 99 % is {signed(allowed)}.",
    )


def _noisy(able: Sequence[Outcome], best: Outcome) -> tuple[str, ...]:
    """Those that look faster than the best, and are less certain to be fast."""
    return tuple(
        f"{each.label} looks faster ({_times(each)}), which is less certain: measure it more often "
        f"(--repeat 5)."
        for each in able
        if _speed_up(each) > _speed_up(best)
    )


def _rivals(able: Sequence[Outcome], best: Outcome) -> tuple[str, ...]:
    """Those that look slower than the best, and whose intervals overlap with its."""
    near = [
        each.label
        for each in able
        if each is not best
        and _speed_up(each) <= _speed_up(best)
        and each.speed_up_interval is not None
        and each.speed_up_interval.high >= _at_least(best)
    ]
    if not near:
        return ()
    return (f"Nearly as fast, with intervals that overlap: {', '.join(near)}.",)


def _sacrifices(others: Sequence[Outcome], best: Outcome | None) -> tuple[str, ...]:
    """Those that are faster than the best and the baseline, and lose too much."""
    least = max(_speed_up(best) if best else 0.0, 1.0)
    faster = [each for each in others if each.keeps_accuracy is False and _speed_up(each) > least]
    return tuple(
        f"{each.label} {'is' if _is_faster(each) and _at_least(each) > least else 'looks'} faster "
        f"still ({_times(each)}), but keeps less than 99 % of the baseline's ROUGE-1 "
        f"({signed(each.rouge1_change.difference)})."
        for each in sorted(faster, key=_speed_up, reverse=True)[:3]
        if each.rouge1_change is not None
    )


def _broken(others: Sequence[Outcome], baseline: Outcome) -> tuple[str, ...]:
    return tuple(
        f"Not considered, as its {each.scenario} is INVALID where {baseline.label}'s is not: "
        f"{each.label} ({each.summary.invalid[each.scenario]})."
        for each in others
        if each.scenario is not None and _is_broken(each, baseline)
    )


def _unscored(others: Sequence[Outcome]) -> tuple[str, ...]:
    names = [each.label for each in others if each.keeps_accuracy is None]
    if not names:
        return ()
    return (f"Not considered, as their accuracy was not compared: {', '.join(names)}.",)


def _unmeasured(outcomes: Sequence[Outcome], others: Sequence[Outcome]) -> tuple[str, ...]:
    """Those whose speed is not compared, though it could have been measured."""
    names = [
        each.label
        for each in outcomes
        if not each.is_baseline and not each.summary.emulated and each not in others
    ]
    if not names or outcomes[0].speed is None:
        return ()
    scenario = outcomes[0].scenario
    return (f"Not considered, as no {scenario} speed of theirs was measured: {', '.join(names)}.",)


def _at_a_rate(baseline: Outcome) -> tuple[str, ...]:
    if baseline.scenario is None or not baseline.scenario.has_rate:
        return ()
    return (
        f"Speeds are those of {baseline.scenario}, whose rate was given: they tell little of an "
        f"engine. Measure Offline.",
    )
