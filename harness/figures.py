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


class Rates:
    """How fast counters grow, over the last few seconds or, where they grow in longer steps, over
    the last two of these.
    """

    def __init__(self) -> None:
        self._now_s = 0.0
        self._points: list[tuple[float, tuple[int, ...]]] = []  # at which something had grown

    def add(self, now_s: float, *counters: int) -> bool:
        """A reading; whether it is another than the last."""
        self._now_s = now_s
        if self._points and self._points[-1][1] == counters:
            return False
        self._points.append((now_s, counters))
        while len(self._points) > 2 and now_s - self._points[1][0] > _WINDOW_S:
            self._points.pop(0)
        return True

    @property
    def per_s(self) -> tuple[float, ...]:
        """Of each counter; () before the second reading that differs."""
        if len(self._points) < 2:
            return ()
        (first_s, first), (last_s, last) = self._points[0], self._points[-1]
        span_s = max(last_s - first_s, 1e-9)
        if self._now_s - last_s > max(_WINDOW_S, span_s):  # it has become slow, or stands still
            span_s = self._now_s - first_s
        return tuple((b - a) / span_s for a, b in zip(first, last, strict=True))


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of work: how far it is, how fast it goes, and how its answers come."""

    how_far: tuple[str, ...]
    how_fast: tuple[str, ...] = ()
    how_well: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """All of it."""
        return " | ".join((*self.how_far, *self.how_fast, *self.how_well))


def describe(done: int, total: int | None, rates: Rates) -> Told:
    """Of work that counts one thing."""
    per_s = next(iter(rates.per_s), 0.0)
    counts = f"{done:,}/{total:,}" if total else f"{done:,}"
    return Told((counts, *_time_left(done, total, per_s)))


def describe_test(done: int, total: int | None, figures: ProgressFigures, rates: Rates) -> Told:
    """Of a LoadGen test; `rates` are those of its tokens and prompt tokens."""
    how_far = [f"{done:,}/{total:,}" if total else f"{done:,}"]
    issued = figures.prompt_tokens_issued
    # queries that are still to come have prompts of unknown lengths
    if total and figures.issued >= total and figures.prompt_tokens < issued:
        how_far.append(f"{figures.prompt_tokens / issued:.0%} of prompts read")
    if figures.left_s is not None and (total is None or done < total):
        how_far.append(f"{duration(figures.left_s)} left")
    names = ("tok/s", "prompt tok/s")
    how_fast = [
        f"{per_s:,.{0 if per_s >= 10 else 1}f} {name}"
        for name, per_s in zip(names, rates.per_s, strict=False)
        if per_s > 0
    ]
    if figures.kv_blocks_total and figures.kv_blocks_used is not None:
        how_fast.append(f"KV cache {figures.kv_blocks_used / figures.kv_blocks_total:.0%}")
    how_well = [
        f"{name} p99 {value_s * 1e3:,.1f} ms"
        for name, value_s in (("TTFT", figures.ttft_p99_s), ("TPOT", figures.tpot_p99_s))
        if value_s is not None
    ]
    how_well.append(f"{figures.active:,} running, {figures.queued:,} queued")
    return Told(tuple(how_far), tuple(how_fast), tuple(how_well))


def describe_transfer(done_bytes: int, total_bytes: int, rates: Rates) -> Told:
    """Of a download: how much is here, time left, how fast it comes."""
    bytes_per_s = next(iter(rates.per_s), 0.0)
    how_far = f"{size_text(done_bytes)} of {size_text(total_bytes)}"
    how_fast = (f"{size_text(round(bytes_per_s))}/s",) if bytes_per_s > 0 else ()
    return Told((how_far, *_time_left(done_bytes, total_bytes, bytes_per_s)), how_fast)


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
