"""The figures of a performance test, in seconds and per second."""

from __future__ import annotations

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

    @property
    def by_name(self) -> dict[str, float]:
        """Those that LoadGen gives."""
        return {name: value for name, value in self if value is not None}
