"""A verdict as a person reads it: what VALID is worth, and a failed rule on a line of its own; and
what of it another rate might mend.

`run.json` keeps the plain sentence, which programs read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.rules.verdict import Rule, Verdict
    from harness.runs.record import Mark

# Runs that are less than a whole one under the rules, by the mark that says so.
_LESS: dict[Mark, str] = {
    "simulated": "a simulated run",
    "emulated": "an emulated run",
    "failures tolerated": "a run that tolerates failures",
    "short": "a short run",
}
# Rules that fail because others do, and are told after them.
_CONSEQUENCES = ("early stopping", "LoadGen's verdict")
# Rules that a lower rate may mend; an engine that breaks another one breaks it at any.
_BY_RATE = {
    *_CONSEQUENCES,
    "minimum duration",
    "minimum queries",
    "TTFT at p99",
    "TPOT at p99",
    "tokens as they are made",
    "first tokens computed",
}


def told(verdict: Verdict, marks: Sequence[Mark]) -> list[str]:
    """Lines of text: VALID only for a whole run under the rules; else INVALID, and each rule that
    failed, the cause before what follows from it.
    """
    if verdict.valid:
        less = next((words for mark, words in _LESS.items() if mark in marks), None)
        return ["VALID" if less is None else f"meets the rules of {less}"]
    return ["INVALID", *failures(verdict)]


def told_first(verdicts: Sequence[Verdict], marks: Sequence[Mark]) -> list[str]:
    """`told` of the first that is not VALID, or else of the first."""
    return told(next((each for each in verdicts if not each.valid), verdicts[0]), marks)


def failures(verdict: Verdict) -> list[str]:
    """Each rule that failed, in words, the cause before what follows from it."""
    failed = sorted((rule for rule in verdict.rules if not rule.passed), key=_order)
    return [rule.sentence for rule in failed]


def broken_at_any_rate(verdict: Verdict) -> Rule | None:
    """The first rule that failed and that no lower rate mends."""
    failed = (rule for rule in verdict.rules if not rule.passed)
    return next((rule for rule in failed if rule.name not in _BY_RATE), None)


def _order(rule: Rule) -> int:
    return _CONSEQUENCES.index(rule.name) + 1 if rule.name in _CONSEQUENCES else 0
