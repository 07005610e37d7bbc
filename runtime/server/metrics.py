"""What Prometheus reads at `/metrics`: counts and times of requests, and what the engine does."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from prometheus_client import CollectorRegistry

    from runtime.executor import ExecutorStats

_SHORT_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_LONG_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry: CollectorRegistry = CollectorRegistry()
        self._requests = Counter(
            "enginebench_requests",
            "Requests answered or refused, by path and status.",
            ("path", "status"),
            registry=self.registry,
        )
        self._prompt_tokens = Counter(
            "enginebench_prompt_tokens", "Tokens of prompts.", registry=self.registry
        )
        self._tokens = Counter(
            "enginebench_generated_tokens", "Tokens of answers.", registry=self.registry
        )
        self._ttft = Histogram(
            "enginebench_time_to_first_token_seconds",
            "From the arrival of a request to its first token, of streams.",
            buckets=_LONG_S,
            registry=self.registry,
        )
        self._tpot = Histogram(
            "enginebench_time_per_output_token_seconds",
            "From the first token of a stream to its last, by the tokens after the first.",
            buckets=_SHORT_S,
            registry=self.registry,
        )
        self._latency = Histogram(
            "enginebench_request_seconds",
            "From the arrival of a request to its last token.",
            buckets=_LONG_S,
            registry=self.registry,
        )

    def watch(self, num_open: Callable[[], int], stats: Callable[[], ExecutorStats]) -> None:
        """Read these whenever the figures are asked for."""
        from prometheus_client import Gauge

        gauges: dict[str, tuple[str, Callable[[], float | None]]] = {
            "requests_open": ("Requests that are read, answered or wait.", num_open),
            "engine_active": ("Requests in the engine's batch.", lambda: stats().active),
            "engine_queued": ("Requests that wait in the engine.", lambda: stats().queued),
            "kv_blocks_used": ("Key/value cache in use.", lambda: stats().kv_blocks_used),
            "kv_blocks": ("Key/value cache there is.", lambda: stats().kv_blocks_total),
            "iteration_seconds": ("The latest iteration.", lambda: stats().iteration_s),
        }
        for name, (text, read) in gauges.items():
            gauge = Gauge(f"enginebench_{name}", text, registry=self.registry)
            gauge.set_function(_number(read))

    def answered(self, path: str, status: int) -> None:
        """A request came to an end."""
        self._requests.labels(path, str(status)).inc()

    def made(self, read: int, made: int, ttft_s: float | None, latency_s: float) -> None:
        """An answer is complete: tokens of its prompt and its own, and when they were there; of the
        first None where that is not known.
        """
        self._prompt_tokens.inc(read)
        self._tokens.inc(made)
        self._latency.observe(latency_s)
        if ttft_s is None:
            return
        self._ttft.observe(ttft_s)
        if made > 1:
            self._tpot.observe((latency_s - ttft_s) / (made - 1))

    def text(self) -> bytes:
        """All of them, in Prometheus's text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)


def _number(read: Callable[[], float | None]) -> Callable[[], float]:
    """What is not known is NaN to Prometheus."""

    def number() -> float:
        value = read()
        return float("nan") if value is None else float(value)

    return number
