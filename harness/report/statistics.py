"""95 % intervals of a difference: of ROUGE over samples, and of speed over repeated tests.

Both are checked for their coverage by `tests/harness/report/test_coverage.py`. Random numbers come
from one seed, so that the same runs always give the same interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING

from build_engine.validation import Frozen
from harness.loadgen.metrics import geometric_mean

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 2000
FEWEST_DIFFERENT = 6
"""Fewer samples than this that differ are no evidence, whichever way they point: for five, the sign
test's p is 1/16.
"""
_SEED = 20240229
_CELLS = 2**22  # of a table of resamples that is made at once: 32 MiB
_STEPS = 20_001  # of the integral behind Student's t: its quantiles are right to 4 digits


class Interval(Frozen):
    """From where to where the true value lies, with 95 % confidence."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value is one that the data allow."""
        return self.low <= value <= self.high

    def scaled(self, factor: float) -> Interval:
        """Of the value in another, positive unit."""
        return Interval(low=self.low * factor, high=self.high * factor)

    def shifted(self, by: float) -> Interval:
        """Of the value with something added."""
        return Interval(low=self.low + by, high=self.high + by)


def mean_intervals(samples: NDArray[np.float64]) -> list[Interval | None]:
    """Intervals of the mean of each column of `samples` (one row a sample), from one set of
    resamples; None for a column in which too few samples are not 0.

    It is the symmetric studentised bootstrap (Hall 1988): the percentile and BCa intervals of
    differences that are mostly 0 and else skewed hold their 95 % in 92 % of cases with 40 samples,
    and call two runs of one engine different up to 10 % of the time.
    """
    import numpy as np

    num = len(samples)
    if num < FEWEST_DIFFERENT:
        return [None] * samples.shape[1]
    centre, spread = samples.mean(axis=0), samples.std(axis=0)
    squares = samples**2
    rows = min(max(_CELLS // num, 1), RESAMPLES)
    distances = []
    for part in range(-(-RESAMPLES // rows)):
        shares = _shares(num, rows, part)
        means = shares @ samples
        deviations = np.sqrt(np.maximum(shares @ squares - means**2, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            distances.append(np.abs(means - centre) / deviations)
    wide = np.nan_to_num(np.concatenate(distances), nan=0.0, posinf=0.0)
    half = np.quantile(wide, CONFIDENCE, axis=0) * spread
    different = np.count_nonzero(samples, axis=0)
    return [
        Interval(low=float(middle - reach), high=float(middle + reach))
        if count >= FEWEST_DIFFERENT
        else None
        for middle, reach, count in zip(centre, half, different, strict=True)
    ]


@lru_cache(maxsize=1)
def _shares(num: int, rows: int, part: int) -> NDArray[np.float64]:
    """Of what share of each of `rows` resamples each of `num` samples is."""
    import numpy as np

    drawn = np.random.default_rng([_SEED, part]).integers(0, num, (rows, num))
    cells = drawn + np.arange(0, rows * num, num)[:, None]
    return np.bincount(cells.ravel(), minlength=rows * num).reshape(rows, num) / num


def ratio(baseline: Sequence[float], other: Sequence[float]) -> float:
    """How many times the baseline the other is, by geometric means."""
    return geometric_mean(other) / geometric_mean(baseline)


def not_told_apart(values: Mapping[str, Sequence[float]]) -> list[tuple[str, str]]:
    """The pairs of names, in order, that values measured in turns do not tell apart."""
    return [
        (first, second)
        for first, second in combinations(values, 2)
        if (interval := ratio_interval(values[first], values[second], paired=True)) is None
        or interval.holds(1.0)
    ]


def ratio_interval(
    baseline: Sequence[float], other: Sequence[float], *, paired: bool
) -> Interval | None:
    """Interval of `ratio`, by Student's t on logarithms; None where a side has one value only.

    `paired` values were measured in turns, so that what the machine did meanwhile met both; others
    are compared by Welch's test, which lets each side have a noise of its own. A bootstrap over
    three or four repeats would hold its 95 % in less than 85 % of cases.
    """
    import numpy as np

    if min(len(baseline), len(other)) < 2:
        return None
    left, right = np.log(baseline), np.log(other)
    if paired:
        differences = right - left
        freedom = len(differences) - 1.0
        error = differences.std(ddof=1) / math.sqrt(len(differences))
    else:
        parts = [side.var(ddof=1) / len(side) for side in (left, right)]
        error = math.sqrt(sum(parts))
        weights = [
            part**2 / (len(side) - 1) for part, side in zip(parts, (left, right), strict=True)
        ]
        freedom = sum(parts) ** 2 / sum(weights) if any(weights) else 1.0
    middle = right.mean() - left.mean()
    reach = student_t(freedom) * error
    return Interval(low=math.exp(middle - reach), high=math.exp(middle + reach))


def student_t(freedom: float) -> float:
    """The 97.5 % quantile of Student's t for 1 or more degrees of freedom, whole or not.

    With t = sqrt(freedom) * tan(a) its density is cos(a) ** (freedom - 1), which is summed up.
    """
    import numpy as np

    angles = np.linspace(0.0, math.pi / 2, _STEPS)
    density = np.cos(angles) ** (freedom - 1)
    cumulative = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = float(np.interp(CONFIDENCE, cumulative / cumulative[-1], angles))
    return math.sqrt(freedom) * math.tan(angle)
