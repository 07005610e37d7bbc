"""A rule and how it came out, and the verdict that follows: VALID, or INVALID because of which
rule, what was measured, the limit, and what to change.

These are the values; the conditions themselves stand in `harness/runs/conditions.py`.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import model_validator

from build_engine.validation import Frozen, Text


class Rule(Frozen):
    """One rule and how it came out.

    `measured` and `allowed` say it in words; where the rule compares numbers, `value` and `limit`
    are those, both in `unit` ("ms", "s", "tokens", "queries"; "" for a plain count).
    """

    name: Text
    passed: bool
    measured: str
    allowed: str
    remedy: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""

    @property
    def sentence(self) -> str:
        """The rule in words, for one that failed."""
        return f"{self.name}: measured {self.measured}, the limit is {self.allowed}; {self.remedy}"


class Verdict(Frozen):
    """The rules of one test; make one with `Verdict.of`."""

    valid: bool
    sentence: Text
    rules: tuple[Rule, ...]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Verdict:
        """The verdict that follows from rules."""
        found = tuple(rules)
        failed = [rule.sentence for rule in found if not rule.passed]
        sentence = "VALID" if not failed else "INVALID because " + "; and ".join(failed)
        return cls(valid=not failed, sentence=sentence, rules=found)

    @model_validator(mode="after")
    def _follows(self) -> Verdict:
        if self.valid != all(rule.passed for rule in self.rules):
            raise ValueError("`valid` does not follow from the rules.")
        return self
