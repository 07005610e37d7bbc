"""Intervals of simple data, against known numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from harness.loadgen.metrics import geometric_mean
from harness.report.statistics import (
    FEWEST_DIFFERENT,
    mean_intervals,
    not_told_apart,
    ratio,
    ratio_interval,
    student_t,
)


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    # NIST/SEMATECH e-Handbook, table of Student's t; 2.5 by scipy.stats.t.ppf
    [(1, 12.706), (2, 4.303), (2.5, 3.5746), (3, 3.182), (6, 2.447), (30, 2.042), (1000, 1.962)],
)
def test_students_quantiles_are_those_of_the_tables(freedom: float, quantile: float) -> None:
    assert student_t(freedom) == pytest.approx(quantile, abs=6e-4)


def test_a_paired_ratio_is_known_by_hand() -> None:
    baseline, other = (100.0, 200.0, 400.0), (110.0, 240.0, 440.0)
    found = ratio_interval(baseline, other, paired=True)
    assert found is not None
    logs = [math.log(1.1), math.log(1.2), math.log(1.1)]
    middle = sum(logs) / 3
    spread = math.sqrt(sum((each - middle) ** 2 for each in logs) / 2 / 3)
    assert math.log(found.low) == pytest.approx(middle - 4.3027 * spread, abs=1e-5)
    assert math.log(found.high) == pytest.approx(middle + 4.3027 * spread, abs=1e-5)
    assert ratio(baseline, other) == pytest.approx(math.exp(middle))
    apart = ratio_interval(baseline, other, paired=False)
    assert apart is not None and apart.low < 1 < apart.high  # the machine's drift is in it


def test_one_test_says_nothing_of_noise() -> None:
    assert ratio_interval([1.0], [2.0], paired=False) is None
    assert ratio_interval([1.0], [2.0, 2.1], paired=False) is None


@pytest.mark.parametrize("paired", [True, False])
def test_equal_values_have_no_width(paired: bool) -> None:
    found = ratio_interval([5.0, 5.0], [6.0, 6.0], paired=paired)
    assert found is not None
    assert found.low == pytest.approx(1.2)
    assert found.high == pytest.approx(1.2)


def test_the_mean_of_one_value_is_that_very_value() -> None:
    assert geometric_mean([0.1 + 0.2]) == 0.1 + 0.2
    assert geometric_mean([1.0, 100.0]) == pytest.approx(10.0)


def test_means_have_the_same_interval_every_time_and_each_its_own() -> None:
    samples = np.random.default_rng(1).normal([0.0, 5.0], [1.0, 0.1], (100, 2))
    first, second = mean_intervals(samples)
    assert [first, second] == mean_intervals(samples)
    assert first is not None and second is not None
    for column, found in enumerate((first, second)):
        values = samples[:, column]
        reach = 1.984 * values.std(ddof=1) / 10  # Student's, right for normal samples
        assert found.low == pytest.approx(values.mean() - reach, abs=reach / 10)
        assert found.high == pytest.approx(values.mean() + reach, abs=reach / 10)


def test_a_few_samples_that_differ_are_no_evidence() -> None:
    samples = np.zeros((200, 1))
    samples[: FEWEST_DIFFERENT - 1] = -0.5
    assert mean_intervals(samples) == [None]
    samples[:FEWEST_DIFFERENT] = np.linspace(-0.5, -0.4, FEWEST_DIFFERENT)[:, None]
    (found,) = mean_intervals(samples)
    assert found is not None and found.holds(samples.mean())
    assert mean_intervals(np.ones((3, 2))) == [None, None]


def test_many_samples_are_resampled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(2).normal(1.0, 1.0, (50, 1))
    (whole,) = mean_intervals(samples)
    monkeypatch.setattr("harness.report.statistics._CELLS", 50 * 7)
    (parts,) = mean_intervals(samples)
    assert whole is not None and parts is not None
    assert parts.low == pytest.approx(whole.low, abs=0.02)


def test_pairs_that_intervals_do_not_tell_apart_are_named() -> None:
    speeds = {
        "bf16": [1000.0, 900.0, 800.0, 700.0],  # the machine slows down
        "int8_wo": [1105.0, 985.0, 884.0, 769.0],  # always a tenth faster, though they overlap
        "int4_wo": [1060.0, 840.0, 880.0, 690.0],
    }
    assert not_told_apart(speeds) == [("bf16", "int4_wo"), ("int8_wo", "int4_wo")]
    apart = {"a": [1.0, 1.0], "b": [2.0, 9.0]}  # no test of one is as fast as any of the other
    assert not_told_apart(apart) == [("a", "b")]
    assert not_told_apart({"a": [1.0], "b": [2.0]}) == [("a", "b")]
