"""What a scenario's result is, and the latencies that it must stay below."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveFloat, model_validator

from build_engine.validation import Frozen

ResultKey = Literal[
    "result_tokens_per_second",
    "result_completed_tokens_per_second",
    "result_90.00_percentile_latency_ns",
]


class ScenarioLimits(Frozen):
    """What the submission checker reads as the result of a scenario, and its latency limits.

    `metric` is a key of LoadGen's detail log; `ttft_ms` and `tpot_ms` limit the p99 of time to
    first token and of time per output token.
    """

    metric: ResultKey
    ttft_ms: PositiveFloat | None = None
    tpot_ms: PositiveFloat | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ScenarioLimits:
        if (self.ttft_ms is None) != (self.tpot_ms is None):
            raise ValueError("`ttft_ms` and `tpot_ms` are given together, or both left out.")
        return self

    @property
    def is_constrained(self) -> bool:
        """Whether there are latency limits, so that a rate is searched for."""
        return self.ttft_ms is not None
