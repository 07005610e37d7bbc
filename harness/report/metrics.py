"""The metrics by which candidates are compared: name, unit, and which way is better."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.scoring.rouge import METRICS as ROUGE_METRICS

MetricName = Literal[
    "throughput",
    "ttft_p50",
    "ttft_p99",
    "tpot_p50",
    "tpot_p99",
    "latency_p50",
    "latency_p99",
    "rouge1",
    "rouge2",
    "rougeL",
    "rougeLsum",
    "size",
    "memory",
]


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure of a candidate. `field` is that of LoadGen's figures, "" where it is none of them;
    `scale` makes `unit` of it.
    """

    name: MetricName
    title: str
    unit: Literal["tokens/s", "ms", "points", "MB"]
    higher_is_better: bool = False
    field: str = ""
    scale: float = 1.0

    @property
    def is_timed(self) -> bool:
        """Whether it is measured by a performance test, and so once a scenario and test."""
        return bool(self.field)

    @property
    def is_rouge(self) -> bool:
        """Whether it is a score of answers."""
        return self.name in ROUGE_METRICS


_SPEEDS = (
    Metric("throughput", "throughput", "tokens/s", True, "tokens_per_s"),
    Metric("ttft_p50", "TTFT p50", "ms", False, "ttft_p50_s", 1e3),
    Metric("ttft_p99", "TTFT p99", "ms", False, "ttft_p99_s", 1e3),
    Metric("tpot_p50", "TPOT p50", "ms", False, "tpot_p50_s", 1e3),
    Metric("tpot_p99", "TPOT p99", "ms", False, "tpot_p99_s", 1e3),
    Metric("latency_p50", "latency p50", "ms", False, "latency_p50_s", 1e3),
    Metric("latency_p99", "latency p99", "ms", False, "latency_p99_s", 1e3),
)
_ROUGE = (
    Metric("rouge1", "ROUGE-1", "points", True),
    Metric("rouge2", "ROUGE-2", "points", True),
    Metric("rougeL", "ROUGE-L", "points", True),
    Metric("rougeLsum", "ROUGE-Lsum", "points", True),
)
_BYTES = (
    Metric("size", "engine size", "MB"),
    Metric("memory", "peak memory", "MB"),
)
METRICS: dict[str, Metric] = {metric.name: metric for metric in (*_SPEEDS, *_ROUGE, *_BYTES)}
MB = 1e6  # bytes
TIMED = _SPEEDS
ROUGE = _ROUGE
SIZE, MEMORY = _BYTES
