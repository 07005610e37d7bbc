"""Limits on how much worse a candidate may be: what `--fail-on` says, and whether it holds.

A limit is broken when the estimate is beyond it. Whether the interval is as well is said, and
decides nothing: it would let a loss pass because the runs were too short to be sure of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from build_engine.errors import UnknownName, UsageError
from build_engine.validation import Frozen, Text
from harness.report.comparison import CandidateSummary, Change, Comparison, Pair
from harness.report.metrics import METRICS, MetricName

_FORM = re.compile(r"\s*([A-Za-z0-9_]+)\s*:\s*([+-]?)(\d+(?:\.\d*)?|\.\d+)\s*(%?)\s*")
_EXAMPLE = "throughput:-3%,rouge1:-1%"


@dataclass(frozen=True, slots=True)
class Limit:
    """How much worse a metric may be: `amount` is a share of the baseline's value if `relative`,
    else in the metric's unit; never negative.
    """

    metric: MetricName
    amount: float
    relative: bool

    @property
    def text(self) -> str:
        """As it is written, with the sign that is worse."""
        sign = "-" if METRICS[self.metric].higher_is_better else "+"
        if self.relative:
            return f"{sign}{self.amount * 100:.4g} %"
        return f"{sign}{self.amount:.4g} {METRICS[self.metric].unit}"


class Check(Frozen):
    """One metric of one candidate beside its limit; `worse_by` and `limit` are in one unit."""

    metric: MetricName
    label: Text
    worse_by: float
    limit: float
    failed: bool
    certain: bool | None
    """Whether the whole interval is on the same side of the limit; None without one."""
    sentence: Text


def parse_limits(text: str) -> tuple[Limit, ...]:
    """Raises UnknownName for a metric that does not exist, and UsageError for anything else that is
    no list of limits.
    """
    return tuple(_limit(part) for part in text.split(","))


def _limit(part: str) -> Limit:
    found = _FORM.fullmatch(part)
    if found is None:
        raise UsageError(f"`{part}` is no limit; write METRIC:CHANGE, as in --fail-on {_EXAMPLE}.")
    name, sign, amount, percent = found.groups()
    if name not in METRICS:
        raise UnknownName("metric", name, METRICS)
    metric = METRICS[name]
    worse = "-" if metric.higher_is_better else "+"
    if sign and sign != worse:
        raise UsageError(
            f"`{part.strip()}` would fail on an improvement: {metric.title} is worse when it is "
            f"{'lower' if metric.higher_is_better else 'higher'}; write "
            f"{name}:{worse}{amount}{percent}."
        )
    if float(amount) == float("inf"):
        raise UsageError(f"The limit of `{name}` is too large a number; write fewer digits.")
    relative = bool(percent)
    return Limit(metric.name, float(amount) / (100 if relative else 1), relative)


def require_whole(failures: Sequence[str]) -> None:
    """Raise UsageError when anything that was asked for, or lies there, has no result: what is
    missing could be what fails.
    """
    if failures:
        more = f" (and {len(failures) - 1} more)" if len(failures) > 1 else ""
        raise UsageError(
            f"--fail-on judges nothing while a result is missing: {failures[0]}{more} Mend it, or "
            f"name the folders of the runs that count."
        )


def checks_of(comparison: Comparison, limits: Sequence[Limit]) -> tuple[Check, ...]:
    """Every limit on every other candidate, in each scenario in which the baseline has the metric;
    but those of `not_judged`.

    Raises UsageError where a candidate does not have what the baseline has, or neither has the
    metric, and they were not emulated; and for a limit by which nobody is judged.
    """
    checks = []
    for limit in limits:
        found = [check for pair in comparison.pairs for check in _checks(comparison, pair, limit)]
        if not found:
            raise UsageError(_nobody_judged(comparison, limit))
        checks += found
    return tuple(checks)


def not_judged(comparison: Comparison, limits: Sequence[Limit]) -> tuple[str, ...]:
    """A sentence for each metric that an emulated candidate cannot have, and for each that the
    baseline does not have in a scenario.
    """
    return tuple(
        sentence
        for limit in limits
        for pair in comparison.pairs
        for sentence in _not_judged(comparison, pair, limit)
    )


def _not_judged(comparison: Comparison, pair: Pair, limit: Limit) -> Iterator[str]:
    what = f"{METRICS[limit.metric].title} (`{limit.metric}`)"
    if _cannot_have(comparison.candidate(pair.other), limit):
        yield f"{pair.other} is emulated, and has no {what}: not judged."
    for gap in pair.gaps:
        if gap.metric == limit.metric and not gap.lost:
            yield f"{pair.other}: {gap.scenario} {what} is not judged, as {gap.why}."


def _cannot_have(candidate: CandidateSummary, limit: Limit) -> bool:
    return candidate.emulated and not METRICS[limit.metric].is_rouge


def _nobody_judged(comparison: Comparison, limit: Limit) -> str:
    what = f"{METRICS[limit.metric].title} (`{limit.metric}`)"
    if _cannot_have(comparison.candidates[0], limit):
        return (
            f"The baseline, {comparison.baseline}, is emulated and has no {what}; choose one that "
            f"was measured by --baseline, or limit ROUGE alone."
        )
    return (
        f"Nobody can be judged by {what}: every other candidate is emulated; limit ROUGE, or name "
        f"runs that were measured."
    )


def _checks(comparison: Comparison, pair: Pair, limit: Limit) -> Iterator[Check]:
    sides = (comparison.candidate(label) for label in (pair.baseline, pair.other))
    if any(_cannot_have(side, limit) for side in sides):
        return
    changes = [change for change in pair.changes if change.metric == limit.metric]
    if not changes:
        known = ", ".join(dict.fromkeys(change.metric for change in pair.changes))
        raise UsageError(
            f"{pair.baseline} and {pair.other} do not both have {METRICS[limit.metric].title} "
            f"(`{limit.metric}`); both have: {known or 'nothing'}."
        )
    for gap in pair.gaps:
        if gap.metric == limit.metric and gap.lost:
            raise UsageError(
                f"--fail-on judges nothing while a figure is missing: {gap.scenario} "
                f"{METRICS[limit.metric].title} (`{limit.metric}`) of {pair.other} cannot be held "
                f"against that of {pair.baseline}, as {gap.why}. Measure it again, or name the "
                f"folders of the runs that count."
            )
    for change in changes:
        yield _check(pair.other, change, limit)


def _check(label: str, change: Change, limit: Limit) -> Check:
    metric = METRICS[limit.metric]
    value = change.change if limit.relative else change.difference
    interval = change.change_interval if limit.relative else change.difference_interval
    sign = -1.0 if metric.higher_is_better else 1.0
    failed = sign * value > limit.amount
    certain = None if interval is None else not interval.holds(sign * limit.amount)
    shown = f"{value * 100:+.2f} %" if limit.relative else f"{value:+.4g} {metric.unit}"
    doubt = ", though the 95 % interval reaches the limit" if certain is False else ""
    return Check(
        metric=metric.name,
        label=label,
        worse_by=sign * value,
        limit=limit.amount,
        failed=failed,
        certain=certain,
        sentence=(
            f"{label}: {change.title} (`{metric.name}`) is {shown} against the baseline "
            f"({change.baseline:.6g} to {change.other:.6g} {metric.unit}), the limit is "
            f"{limit.text}: {'FAILED' if failed else 'kept'}{doubt}."
        ),
    )
