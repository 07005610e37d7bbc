"""An A30 with MLPerf's llama3.1-8b, as a simulated engine."""

from __future__ import annotations

from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import TimeModel

# MLPerf's llama3.1-8b in INT8 with an INT8 cache on an A30. Weights of the layers and of the head:
# the shapes of the model. Peaks: configs/targets/a30.yaml. Lengths: a gamma distribution with a
# mean of 871 tokens and E[S^2] = 1.25 E[S]^2, at most 2,540. 2 GB are left to activations.
_PROMPT, _LONGEST, _SPREAD = 870.6, 2540, 1.25
_LAYERS, _HEAD, _WIDTH, _DEPTH, _KV_BYTES = 6.979e9, 0.525e9, 4096, 32, 65_536
_ROOM = 24 * 2**30 - (_LAYERS + 4 * _HEAD) - 2e9
TIMES = TimeModel(
    linear_flops_per_token=2 * _LAYERS,
    attention_flops_per_pair=4 * _WIDTH * _DEPTH,
    head_flops_per_token=2 * _HEAD,
    weight_bytes=_LAYERS + 2 * _HEAD,
    kv_bytes_per_token=_KV_BYTES,
    linear_flops_per_s=330e12,
    other_flops_per_s=165e12,
    bytes_per_s=933e9,
)


def engine(efficiency: float) -> EngineModel:
    """The engine, at this efficiency of its arithmetic."""
    return EngineModel(
        time=TIMES.model_copy(update={"compute_efficiency": efficiency}),
        kv_blocks=int(_ROOM / _KV_BYTES / 32),
        max_batch_size=512,
        max_num_tokens=4096,
    )


def prompt_tokens(count: int) -> list[int]:
    """The lengths of so many prompts, always the same."""
    import numpy as np

    drawn = np.random.default_rng(1).gamma(1 / (_SPREAD - 1), _PROMPT * (_SPREAD - 1), count)
    lengths: list[int] = np.clip(np.round(drawn), 16, _LONGEST).astype(int).tolist()
    return lengths


def closed_form(efficiency: float, answer_tokens: int) -> float:
    """Samples/s of Offline on the A30: 1 / (t_c / e + KV bytes / BW + (O - 1) W / (B BW))."""
    request = _PROMPT + answer_tokens
    later = sum(_PROMPT + t for t in range(1, answer_tokens))
    linear_s = 2 * _LAYERS * (request - 1) / TIMES.linear_flops_per_s
    attention = 2 * _WIDTH * _DEPTH * (_SPREAD * _PROMPT**2 + 2 * later)
    compute_s = linear_s + (attention + 2 * _HEAD * answer_tokens) / TIMES.other_flops_per_s
    batch = int(_ROOM / (_KV_BYTES * request))
    traffic = (answer_tokens - 1) * TIMES.weight_bytes / batch + (later + request) * _KV_BYTES
    return 1 / (compute_s / efficiency + traffic / TIMES.bytes_per_s)
