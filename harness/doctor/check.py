"""A check of `doctor`: what was found, how bad it is, and what to do about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Level(str, Enum):
    """How bad a finding is. A warning costs speed, or something that may not be wanted here; only a
    failure makes `doctor` fail.
    """

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `remedy` is what to do where the level is not PASS."""

    name: str
    level: Level
    finding: str
    remedy: str = ""


def require(name: str, good: bool, finding: str, remedy: str) -> Check:
    """A check that fails where it is not `good`."""
    return _graded(name, good, Level.FAIL, finding, remedy)


def advise(name: str, good: bool, finding: str, remedy: str = "") -> Check:
    """A check that warns where it is not `good`."""
    return _graded(name, good, Level.WARN, finding, remedy)


def of_gpus(findings: Iterable[tuple[int, str]]) -> str:
    """What was found of each GPU, by its number, equal findings said once."""
    numbers: dict[str, list[int]] = defaultdict(list)
    for number, text in findings:
        numbers[text].append(number)
    if len(numbers) == 1:
        return next(iter(numbers))
    parts = (f"GPU {', '.join(map(str, each))}: {text}" for text, each in numbers.items())
    return "; ".join(parts)


def _graded(name: str, good: bool, otherwise: Level, finding: str, remedy: str) -> Check:
    if good:
        return Check(name, Level.PASS, finding)
    return Check(name, otherwise, finding, remedy)
