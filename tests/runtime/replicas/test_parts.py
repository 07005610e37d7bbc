"""What the head says to a replica goes inside of Ray's calls, whatever its size."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.executor import Request
from runtime.messages import Work
from runtime.replicas.messages import in_parts, of_parts

RAY_BYTES = 100 * 1024  # of an argument: max_direct_call_object_size in ray_config_def.h
RAY_CALL_BYTES = 10 * 2**20  # of all: task_rpc_inlined_bytes_limit


@pytest.mark.parametrize("length", [1, 16_000, 25_600, 131_072, 1_000_000])
def test_a_long_prompt_is_whole_again(length: int) -> None:
    prompt = np.arange(length, dtype=np.int32)
    sent = Work.of([Request(1, prompt, 8, stop_ids=(2,)), Request(2, prompt[:3], 8)])
    parts = in_parts(sent)
    assert max(map(len, parts)) < RAY_BYTES
    assert sum(map(len, parts)) < RAY_CALL_BYTES
    first, second = of_parts(parts).requests
    assert np.array_equal(first.prompt_ids, prompt)
    assert (first.id, first.max_new_tokens, first.stop_ids) == (1, 8, (2,))
    assert second.prompt_ids.tolist() == prompt[:3].tolist()
