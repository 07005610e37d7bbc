"""Two engines are told apart only where no measurement of one is within those of the other."""

from __future__ import annotations

import itertools

from harness.runs.apart import chance, not_apart, told_apart


def test_every_value_of_one_side_must_be_above_the_other() -> None:
    assert told_apart([1, 2, 3], [4, 5, 6])
    assert told_apart([4, 5, 6], [1, 2, 3])
    assert not told_apart([1, 2, 4], [3, 5, 6])
    assert not told_apart([1, 2], [2, 3])


def test_the_chance_is_that_of_luck() -> None:
    for num in (1, 2, 3, 4):
        sides = list(itertools.combinations(range(2 * num), num))
        apart = [s for s in sides if told_apart(s, [n for n in range(2 * num) if n not in s])]
        assert len(sides) / len(apart) == chance(num)
    assert chance(4) == 35


def test_pairs_are_named() -> None:
    speeds = {"bf16": [9.0, 10.0], "int8_wo": [5.0, 7.0], "int4_wo": [6.0, 8.0]}
    assert not_apart(speeds) == [("int8_wo", "int4_wo")]
