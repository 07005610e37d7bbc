"""The 95 % intervals hold the true difference in 93 to 97 % of trials, and two runs of one engine
are not called different in more than 7 %.

The differences of ROUGE are like those of real recipes: many answers are the same, and the others
are mostly a little and rarely much worse.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.report.statistics import mean_intervals, ratio_interval

TRIALS = 1000
Floats = NDArray[np.float64]


def _mostly_equal(num: int, generator: np.random.Generator) -> Floats:
    """True mean -0.04: 60 % are equal, the others fall by 0.1 on average, exponentially."""
    fallen = -generator.exponential(0.1, num) + generator.normal(0.0, 0.05, num)
    return np.where(generator.random(num) < 0.6, 0.0, fallen)


def _all_differ(num: int, generator: np.random.Generator) -> Floats:
    """True mean -0.03: a little noise in all, and one in ten falls by 0.3 on average."""
    falls = (generator.random(num) < 0.1) * generator.beta(2, 2, num) * 0.6
    return generator.normal(0.0, 0.06, num) - falls


@pytest.mark.parametrize("num", [40, 200])
def test_rouge_intervals_cover(num: int) -> None:
    generator = np.random.default_rng(11)
    covered = np.zeros(2)
    for _ in range(TRIALS):
        samples = np.stack([_mostly_equal(num, generator), _all_differ(num, generator)], axis=1)
        found = mean_intervals(samples)
        covered += [
            each is not None and each.holds(true)
            for each, true in zip(found, (-0.04, -0.03), strict=True)
        ]
    assert all(0.93 <= share <= 0.97 for share in covered / TRIALS), covered / TRIALS


@pytest.mark.parametrize("num", [3, 4])
@pytest.mark.parametrize("noise", [0.01, 0.03])
@pytest.mark.parametrize("in_turns", [True, False])
def test_speed_intervals_cover(num: int, noise: float, in_turns: bool) -> None:
    """1.1 times as fast. One side may be noisier; measured in turns, drift meets both."""
    generator = np.random.default_rng(12)
    covered = 0
    for _ in range(TRIALS):
        drift = generator.normal(0.0, 0.05, num) if in_turns else np.zeros(num)
        baseline = np.exp(math.log(1000.0) + generator.normal(0.0, 0.01, num) + drift)
        other = np.exp(math.log(1100.0) + generator.normal(0.0, noise, num) + drift)
        found = ratio_interval(baseline.tolist(), other.tolist(), paired=in_turns)
        assert found is not None
        covered += found.holds(1.1)
    assert 0.93 <= covered / TRIALS <= 0.97, covered / TRIALS


@pytest.mark.parametrize("share_that_differs", [0.1, 0.4, 1.0])
def test_two_runs_of_one_engine_are_rarely_called_different(share_that_differs: float) -> None:
    """Each answer of both runs comes from one distribution, so that neither is better."""
    generator = np.random.default_rng(13)
    called = 0
    for _ in range(200):
        first, second = generator.beta(2, 4, (2, 40))
        same = generator.random(40) >= share_that_differs
        (found,) = mean_intervals(np.where(same, 0.0, second - first)[:, None])
        called += found is not None and not found.holds(0.0)
    assert called / 200 <= 0.07


@pytest.mark.parametrize("num", [2, 3, 4])
@pytest.mark.parametrize("in_turns", [True, False])
def test_two_measurements_of_one_engine_are_rarely_called_different(
    num: int, in_turns: bool
) -> None:
    generator = np.random.default_rng(14)
    called = 0
    for _ in range(200):
        baseline, other = np.exp(generator.normal(7.0, 0.02, (2, num)))
        found = ratio_interval(baseline.tolist(), other.tolist(), paired=in_turns)
        assert found is not None
        called += not found.holds(1.0)
    assert called / 200 <= 0.07
