"""Whether measurements of two engines differ by more than the noise that both of them had."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import combinations


def told_apart(first: Sequence[float], second: Sequence[float]) -> bool:
    """Whether every value of one side is above every value of the other.

    The rule assumes of the noise only that it hit both sides alike, so their measurements must take
    turns. It is the outermost case of the Wilcoxon rank-sum test: see `chance`.
    """
    return max(first) < min(second) or max(second) < min(first)


def chance(num: int) -> int:
    """Sides that do not differ, with `num` values each, are told apart by luck in one of so many
    cases: of all orders of 2 `num` values two have one side above the other.
    """
    return math.comb(2 * num, num) // 2


def not_apart(values: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    """The pairs of names that cannot be told apart, in order."""
    return [
        (first, second)
        for first, second in combinations(values, 2)
        if not told_apart(values[first], values[second])
    ]
