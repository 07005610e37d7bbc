"""What the simulated executor is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, model_validator

from runtime.simulated.model import EngineModel
from runtime.spec import ExecutorSpec


class SimulatedSpec(ExecutorSpec):
    """Answers from a time model: for tests, harness ceilings and rehearsals.

    With an `engine` their times are those of its iterations, and otherwise scripted: a rate, and
    the same latencies for every answer.
    """

    backend: Literal["simulated"] = "simulated"
    num_tokens: int = 128
    """Ids in every answer (fewer where the request asks for fewer)."""
    samples_per_s: float | None = None
    """Answers started a second; None answers at once."""
    ttft_s: float = 0.0
    """Seconds from the start of an answer to its first token."""
    tpot_s: float = 0.0
    """Seconds between two tokens of one answer."""
    engine: EngineModel | None = None
    stream_interval: PositiveInt = 1
    """Iterations of an `engine` between two chunks of one streamed answer."""
    fault: Literal["die", "error", "drop"] | None = None
    """What goes wrong with answer number `fault_after`: the engine dies, the request fails, or the
    answer never comes.
    """
    fault_after: int = 0

    @model_validator(mode="after")
    def _one_time_model(self) -> SimulatedSpec:
        if self.engine is None:
            return self
        if self.samples_per_s is not None or self.ttft_s or self.tpot_s:
            raise ValueError("give `engine`, or `samples_per_s`, `ttft_s` and `tpot_s`; not both.")
        if self.num_tokens < 1:
            raise ValueError("the answers of an `engine` have a token: set `num_tokens` to 1.")
        return self

    @property
    def max_in_flight(self) -> int | None:
        """See `ExecutorSpec.max_in_flight`."""
        return None if self.engine is None else self.engine.max_in_flight

    @property
    def instant(self) -> bool:
        """Whether answers take no time at all."""
        return (
            self.engine is None
            and self.samples_per_s is None
            and not self.ttft_s
            and not self.tpot_s
        )

    def limited(self, max_batch_size: int, max_num_tokens: int) -> SimulatedSpec | None:
        """See `ExecutorSpec.limited`: where there is an `engine`."""
        if self.engine is None:
            return None
        limits = {"max_batch_size": max_batch_size, "max_num_tokens": max_num_tokens}
        return self.model_copy(update={"engine": self.engine.model_copy(update=limits)})
