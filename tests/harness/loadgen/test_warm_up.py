"""The warm-up's estimate is that of a warm engine: plans are made from it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from build_engine.errors import RunFailed
from harness.loadgen import warm_up as module
from harness.loadgen.sut import AnswerLimits
from harness.loadgen.warm_up import warm_up
from runtime.executor import Chunk, Request
from runtime.simulated import SimulatedExecutor, SimulatedSpec

if TYPE_CHECKING:
    from runtime.executor import TokenIds

LIMITS = AnswerLimits(max_new_tokens=8, min_new_tokens=1, stop_ids=(2,))
PROMPTS = [np.arange(length, dtype=np.int32) for length in (5, 1, 4, 2, 3)]


class ColdExecutor(SimulatedExecutor):
    """By its own clock it takes a second for each request of a batch, and ten for each of a batch
    whose size is new to it.
    """

    def __init__(self) -> None:
        super().__init__(SimulatedSpec())
        self.now_s = 0.0
        self.batches: list[list[int]] = []

    def submit(self, requests: Sequence[Request]) -> None:
        sizes = {len(batch) for batch in self.batches}
        self.now_s += len(requests) * (1 if len(requests) in sizes else 10)
        self.batches.append([len(request.prompt_ids) for request in requests])
        super().submit(requests)


def test_the_first_pass_over_new_shapes_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ColdExecutor()
    clock = SimpleNamespace(perf_counter=lambda: executor.now_s)
    monkeypatch.setattr(module, "time", clock)

    warmth = warm_up(executor, PROMPTS, LIMITS, 4)

    assert warmth.samples_per_s == 1.0
    assert warmth.latency_s == 1.0


def test_it_takes_prompts_of_every_length() -> None:
    executor = ColdExecutor()

    warm_up(executor, PROMPTS, LIMITS, 5)

    singles, batches = executor.batches[0], executor.batches[1:3]
    assert singles == [3]
    assert batches == [[1, 2, 3, 4, 5]] * 2
    assert all(batch == [3] for batch in executor.batches[3:])


def test_a_slow_engine_is_warmed_up_by_fewer_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ColdExecutor()
    clock = SimpleNamespace(perf_counter=lambda: 4 * executor.now_s)  # 40 s for the first request
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "_LEAST", 2)
    monkeypatch.setattr(module, "_BATCH_S", 120.0)

    warmth = warm_up(executor, PROMPTS, LIMITS, 5)

    assert [len(batch) for batch in executor.batches[1:3]] == [3, 3]
    assert warmth.samples_per_s == 1 / 4


def test_an_engine_that_refuses_a_prompt_fails_the_warm_up_in_words() -> None:
    class Refusing(SimulatedExecutor):
        def poll(self, timeout_s: float) -> list[Chunk]:
            nothing: TokenIds = np.empty(0, np.int32)
            return [Chunk(c.id, nothing, True, "too long") for c in super().poll(timeout_s)]

    with pytest.raises(RunFailed, match="failed in the warm-up: too long"):
        warm_up(Refusing(SimulatedSpec()), PROMPTS, LIMITS, 2)


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        (SimulatedSpec(ttft_s=600.0), "the engine gave no token at all"),
        (SimulatedSpec(num_tokens=8, tpot_s=600.0), "this machine is too slow for the engine"),
    ],
)
def test_a_warm_up_that_does_not_end_says_why(
    monkeypatch: pytest.MonkeyPatch, spec: SimulatedSpec, why: str
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT_S", 0.3)
    executor = SimulatedExecutor(spec)
    with pytest.raises(RunFailed, match=f"did not end within 0 s: {why}"):
        warm_up(executor, PROMPTS, LIMITS, 2)
    executor.close()
