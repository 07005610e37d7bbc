"""Live progress of long work behind one small protocol: rich for a terminal, plain lines elsewhere,
or nothing.

Progress goes to standard error; standard output is for `--json`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Protocol

from build_engine import progress as build_progress
from build_engine.progress import DownloadProgress
from harness.figures import ProgressFigures, Rate, describe, describe_transfer
from harness.streams import printable, tell

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

_LINE_EVERY_S = 10.0
_WIDE = 120  # columns of a terminal that has room for a long bar


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


def make_progress(*, quiet: bool = False) -> Progress:
    """Rich on a terminal that can redraw, lines otherwise."""
    if quiet:
        return NullProgress()
    if sys.stderr.isatty():
        from rich.console import Console

        if not Console(stderr=True).is_dumb_terminal:
            return RichProgress()
    return LineProgress()
