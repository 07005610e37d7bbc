"""Live progress of long work behind one small protocol: rich for a terminal, plain lines elsewhere,
or nothing.

Progress goes to standard error; standard output is for `--json`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from build_engine import progress as build_progress
from build_engine.progress import DownloadProgress, size_text
from harness.streams import printable, tell

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

_LINE_EVERY_S = 10.0
_WINDOW_S = 5.0
_WIDE = 120  # columns of a terminal that has room for a long bar


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgressFigures:
    """What is known of a LoadGen test while it runs: counts, what its engine tells of itself, and
    percentiles over the most recent answers (None: no answer yet).
    """

    elapsed_s: float
    issued: int
    done: int
    tokens: int
    active: int
    queued: int
    kv_blocks_used: int | None
    kv_blocks_total: int | None
    iteration_s: float | None
    ttft_p50_s: float | None
    ttft_p99_s: float | None
    tpot_p50_s: float | None
    tpot_p99_s: float | None


class Progress(DownloadProgress, Protocol):
    """Where the steps of a command show what they do."""

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """How far the current step is; `figures` are those of a LoadGen test, where it is one."""
        ...

    def close(self) -> None:
        """The command ends."""
        ...


class NullProgress(build_progress.NullProgress):
    """Shows nothing."""

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """See `Progress.update`."""

    def close(self) -> None:
        """See `Progress.close`."""


class LineProgress:
    """A line for each phase and note, and one every few seconds in between: for logs and pipes."""

    def __init__(self, stream: IO[str] | None = None, every_s: float = _LINE_EVERY_S) -> None:
        self._stream = stream or sys.stderr
        self._every_s = every_s
        self._said_s = 0.0
        self._rate = Rate()

    def phase(self, name: str) -> None:
        """See `Progress.phase`."""
        self._rate = Rate()
        self._said_s = time.monotonic()
        self._say(name)

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._say(f"  {text}")

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """See `Progress.update`."""
        self._rate.add(time.monotonic(), done, figures.tokens if figures else 0)
        self._say_sometimes(lambda: describe(done, total, figures, self._rate))

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        """See `DownloadProgress.transferred`."""
        self._rate.add(time.monotonic(), done_bytes, 0)
        self._say_sometimes(lambda: describe_transfer(done_bytes, total_bytes, self._rate))

    def close(self) -> None:
        """See `Progress.close`."""

    def _say_sometimes(self, text: Callable[[], str]) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= self._every_s:
            self._said_s = now_s
            self._say(f"  {text()}")

    def _say(self, text: str) -> None:
        tell(self._stream, f"{printable(text)}\n")


class RichProgress:
    """A bar that is redrawn in place, with the figures of the current test beside it."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._bar: RichBar | None = None
        self._rate = Rate()

    def phase(self, name: str) -> None:
        """See `Progress.phase`."""
        self._end_bar()
        self._rate = Rate()
        self._console.print(printable(name), style="bold")

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._console.print(f"  {printable(text)}")

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """See `Progress.update`."""
        self._rate.add(time.monotonic(), done, figures.tokens if figures else 0)
        self._draw(done, total, describe(done, total, figures, self._rate))

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        """See `DownloadProgress.transferred`."""
        self._rate.add(time.monotonic(), done_bytes, 0)
        self._draw(done_bytes, total_bytes, describe_transfer(done_bytes, total_bytes, self._rate))

    def close(self) -> None:
        """See `Progress.close`."""
        self._end_bar()

    def _draw(self, done: int, total: int | None, text: str) -> None:
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as RichBar
        from rich.table import Column

        if self._bar is None:
            self._bar = RichBar(
                TextColumn(" "),
                BarColumn(bar_width=24 if self._console.width >= _WIDE else 8),
                # what is longer than the line goes on below, where a bar would cut it off
                TextColumn("{task.description}", markup=False, table_column=Column()),
                console=self._console,
                transient=True,
                refresh_per_second=4,
            )
            self._bar.add_task("", total=total)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=done, total=total, description=text)

    def _end_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


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


def make_progress(*, quiet: bool = False) -> Progress:
    """Rich on a terminal that can redraw, lines otherwise."""
    if quiet:
        return NullProgress()
    if sys.stderr.isatty():
        from rich.console import Console

        if not Console(stderr=True).is_dumb_terminal:
            return RichProgress()
    return LineProgress()
