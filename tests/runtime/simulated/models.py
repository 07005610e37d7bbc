"""Engine models for tests: one whose seconds can be counted by hand, and MLPerf's on an A30."""

from __future__ import annotations

from runtime.simulated.model import EngineModel, Policy
from runtime.simulated.time_model import TimeModel

PLAIN = TimeModel(
    linear_flops_per_token=10.0,
    attention_flops_per_pair=2.0,
    head_flops_per_token=4.0,
    weight_bytes=300.0,
    kv_bytes_per_token=5.0,
    linear_flops_per_s=100.0,
    other_flops_per_s=50.0,
    bytes_per_s=1000.0,
)
STEADY = PLAIN.model_copy(
    update={
        "linear_flops_per_token": 1e-9,
        "attention_flops_per_pair": 0.0,
        "head_flops_per_token": 0.0,
        "weight_bytes": 1e-9,
        "kv_bytes_per_token": 1e-9,
        "overhead_s": 0.01,
    }
)
"""Every iteration takes a hundredth of a second."""


def small(
    policy: Policy = "guaranteed_no_evict",
    *,
    kv_blocks: int = 8,
    tokens_per_block: int = 4,
    max_batch_size: int = 4,
    max_num_tokens: int = 16,
    chunked_context: bool = True,
    time: TimeModel = STEADY,
) -> EngineModel:
    """A small engine."""
    return EngineModel(
        time=time,
        kv_blocks=kv_blocks,
        tokens_per_block=tokens_per_block,
        max_batch_size=max_batch_size,
        max_num_tokens=max_num_tokens,
        chunked_context=chunked_context,
        scheduler_policy=policy,
    )
