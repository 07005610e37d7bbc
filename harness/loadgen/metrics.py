"""The figures of a performance test, in seconds and per second, and of several together."""

from __future__ import annotations

import math
from collections.abc import Sequence

from build_engine.validation import Frozen


class Metrics(Frozen):
    """What LoadGen measured: rates, and percentiles of time to first token, of time per output
    token and of latency. None where it gives none: an accuracy test has no figures at all.
    """

    samples_per_s: float | None = None
    tokens_per_s: float | None = None
    ttft_p50_s: float | None = None
    ttft_p90_s: float | None = None
    ttft_p99_s: float | None = None
    tpot_p50_s: float | None = None
    tpot_p90_s: float | None = None
    tpot_p99_s: float | None = None
    latency_p50_s: float | None = None
    latency_p90_s: float | None = None
    latency_p99_s: float | None = None

    @classmethod
    def mean_of(cls, tests: Sequence[Metrics]) -> Metrics:
        """The mean of each figure that all of these tests have."""
        found = {name: [getattr(test, name) for test in tests] for name in cls.model_fields}
        means = {n: mean(each) for n, each in found.items() if each and None not in each}
        return cls(**means)

    @property
    def by_name(self) -> dict[str, float]:
        """Those that LoadGen gives."""
        return {name: value for name, value in self if value is not None}


def mean(values: Sequence[float]) -> float:
    """What stands for a figure of several tests wherever it is shown: the geometric mean, as speeds
    are held against each other by ratios; the arithmetic one where a test has 0.
    """
    return geometric_mean(values) if min(values) > 0 else sum(values) / len(values)


def geometric_mean(values: Sequence[float]) -> float:
    """Of positive values; of equal ones the very value."""
    if min(values) == max(values):
        return values[0]
    return math.exp(math.fsum(map(math.log, values)) / len(values))
