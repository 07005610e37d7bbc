"""A row of the demo's table that nobody measured."""

from __future__ import annotations

from harness.demo import DemoRow, Latencies
from harness.scoring.accuracy import Accuracy


def make_row(recipe: str, slow: float = 1.0) -> DemoRow:
    """Of an engine whose times are so many times those of the first one."""
    times = [value * slow for value in (0.0345, 0.0982, 0.0063, 0.0149)]
    latencies = Latencies(**dict(zip(Latencies.model_fields, times, strict=True)))
    return DemoRow(
        recipe=recipe,
        size_bytes=9_000_000,
        samples_per_s=37.4,
        tokens_per_s=12_345.6,
        offline_tokens_per_s=(12_300.0, 12_400.0),
        server=latencies,
        single_stream=latencies,
        accuracy=Accuracy(96.53 - slow, 1.0, 1.0, 1.0, gen_len=1, gen_num=1),
        num_latency_samples=64,
        busy={},
        verdicts={},
        runs=(),
    )
