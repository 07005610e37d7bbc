"""Steps are timed from where answers arrive: of an executor whose steps are known."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import pytest

from build_engine.errors import EngineDied
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.openvino.products import product_flops, read_bytes_per_s
from runtime.pace import decode_step_s, prompts_s


class Stepping:
    """An executor that takes `step_s` for each step, and gives `tokens` of each request in it."""

    prefix_caching = False

    def __init__(self, step_s: float, tokens: int = 1, error: str | None = None) -> None:
        self._step_s, self._tokens, self._error = step_s, tokens, error
        self._left: dict[int, int] = {}

    def submit(self, requests: Sequence[Request]) -> None:
        self._left = {request.id: request.max_new_tokens for request in requests}

    def poll(self, timeout_s: float) -> list[Chunk]:
        time.sleep(self._step_s)
        found = []
        for request_id, left in list(self._left.items()):
            new = min(left, self._tokens)
            self._left[request_id] -= new
            ended = self._left[request_id] == 0
            if ended:
                del self._left[request_id]
            found.append(Chunk(request_id, np.zeros(new, np.int32), ended, self._error))
        return found

    def stats(self) -> ExecutorStats:
        return ExecutorStats(active=len(self._left), queued=0)

    def close(self) -> None:
        """Nothing runs."""


def test_a_step_gives_each_request_a_token() -> None:
    assert 0.01 <= decode_step_s(Stepping(0.01), 4, 8, 12) < 0.1
    # two tokens of each request at once are two steps
    assert 0.01 <= decode_step_s(Stepping(0.02, tokens=2), 4, 8, 12) < 0.1


def test_prompts_are_read_when_each_has_its_token() -> None:
    assert 0.02 <= prompts_s(Stepping(0.02), 4, 8) < 0.2


def test_what_cannot_be_timed_is_said() -> None:
    with pytest.raises(EngineDied, match="one token after the other"):
        decode_step_s(Stepping(0.0), 2, 8, 1)
    with pytest.raises(EngineDied, match="no cache left"):
        prompts_s(Stepping(0.0, error="no cache left"), 2, 8)


@pytest.mark.parametrize("weights", ["bf16", "int8", "int4"])
def test_products_are_timed(weights: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.openvino.products._LEAST_S", 0.0)
    found = product_flops(weights, "f32", 2)
    assert len(found) == 5 and min(found) > 0


def test_memory_is_read() -> None:
    assert min(read_bytes_per_s(2**20)) > 0
