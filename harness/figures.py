"""What is known of work while it goes on, and how a line says it."""

from __future__ import annotations

from dataclasses import dataclass

from build_engine.progress import size_text

_WINDOW_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressFigures:
    """What is known of a LoadGen test while it runs: counts, what its engine tells of itself, and
    percentiles over the most recent answers (None: no answer yet).
    """

    elapsed_s: float
    issued: int
    done: int
    tokens: int
    """Made so far, those of open answers included."""
    prompt_tokens: int
    """Read so far: those of prompts that have a first token, and of the others as far as the engine
    tells.
    """
    prompt_tokens_issued: int
    """Of all queries that were issued."""
    active: int
    queued: int
    kv_blocks_used: int | None
    kv_blocks_total: int | None
    iteration_s: float | None
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    tpot_p50_s: float | None
    tpot_p99_s: float | None
    left_s: float | None = None
    """How long the rest will take, as far as it can be told yet."""


class Rate:
    """Samples and tokens a second over the last few seconds."""

    def __init__(self) -> None:
        self._points: list[tuple[float, int, int]] = []

    def add(self, now_s: float, done: int, tokens: int) -> None:
        """A reading of two counters."""
        self._points.append((now_s, done, tokens))
        while len(self._points) > 2 and now_s - self._points[1][0] > _WINDOW_S:
            self._points.pop(0)

    @property
    def per_s(self) -> tuple[float, float]:
        """(samples a second, tokens a second); zeros before the second reading."""
        if len(self._points) < 2:
            return 0.0, 0.0
        (first_s, done, tokens), (last_s, last_done, last_tokens) = (
            self._points[0],
            self._points[-1],
        )
        span_s = max(last_s - first_s, 1e-9)
        return (last_done - done) / span_s, (last_tokens - tokens) / span_s


def describe(done: int, total: int | None, figures: ProgressFigures | None, rate: Rate) -> str:
    """One line: done, time left, rates, TTFT/TPOT p99, running and queued requests."""
    samples_per_s, tokens_per_s = rate.per_s
    parts = [f"{done:,}/{total:,}" if total else f"{done:,}"]
    parts += _time_left(done, total, samples_per_s)
    if tokens_per_s > 0:
        parts.append(f"{tokens_per_s:,.0f} tok/s")
    if figures is not None:
        for name, value_s in (("TTFT", figures.ttft_p99_s), ("TPOT", figures.tpot_p99_s)):
            if value_s is not None:
                parts.append(f"{name} p99 {value_s * 1e3:,.1f} ms")
        parts.append(f"{figures.active:,} running, {figures.queued:,} queued")
    return " | ".join(parts)


def describe_transfer(done_bytes: int, total_bytes: int, rate: Rate) -> str:
    """One line: how much is here, time left, how fast it comes."""
    bytes_per_s, _ = rate.per_s
    parts = [f"{size_text(done_bytes)} of {size_text(total_bytes)}"]
    parts += _time_left(done_bytes, total_bytes, bytes_per_s)
    if bytes_per_s > 0:
        parts.append(f"{size_text(round(bytes_per_s))}/s")
    return " | ".join(parts)


def _time_left(done: int, total: int | None, per_s: float) -> list[str]:
    """Nothing where it is not known: work that begins again has a rate below 0."""
    if total is None or done >= total or per_s <= 0:
        return []
    return [f"{duration((total - done) / per_s)} left"]


def duration(seconds: float) -> str:
    """1 h 02 min, 3 min 20 s, 12 s: for people."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    if whole >= 60:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
