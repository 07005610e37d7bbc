"""Live progress of long work behind one small protocol: rich for a terminal, plain lines elsewhere,
or nothing.

Progress goes to standard error; standard output is for `--json`.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import IO, TYPE_CHECKING, Protocol

from build_engine import progress as build_progress
from build_engine.progress import DownloadProgress
from harness.figures import (
    ProgressFigures,
    Rates,
    Told,
    describe,
    describe_test,
    describe_transfer,
    duration,
)
from harness.streams import printable, tell

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

_LINE_EVERY_S = 10.0
_ALIVE_EVERY_S = 60.0
_DRAWN_PER_S = 2  # as often as a LoadGen test tells something
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
    """A line for each phase and note, and in between one when something changed, every few seconds
    at most: for logs and pipes.

    While nothing changes, one a minute says that it goes on, as services that run tests end what is
    silent for long. That ends with `close`, or with the next phase.
    """

    def __init__(
        self,
        stream: IO[str] | None = None,
        every_s: float = _LINE_EVERY_S,
        alive_s: float = _ALIVE_EVERY_S,
    ) -> None:
        self._stream = stream or sys.stderr
        self._every_s = every_s
        self._alive_s = alive_s
        self._lock = threading.Lock()
        self._closed: threading.Event | None = None
        self._began_s = self._said_s = 0.0
        self._rates = Rates()
        self._told: Told | None = None
        self._is_news = False

    def phase(self, name: str) -> None:
        """See `Progress.phase`."""
        with self._lock:
            self._rates, self._told, self._is_news = Rates(), None, False
            self._began_s = time.monotonic()
            self._say(name)
        if self._closed is None:
            self._closed = threading.Event()
            threading.Thread(target=self._live, args=(self._closed,), daemon=True).start()

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        with self._lock:
            self._say(f"  {text}")

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """See `Progress.update`."""
        self._tell(*_told(done, total, figures, self._rates))

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        """See `DownloadProgress.transferred`."""
        is_news = self._rates.add(time.monotonic(), done_bytes)
        self._tell(is_news, describe_transfer(done_bytes, total_bytes, self._rates))

    def close(self) -> None:
        """See `Progress.close`."""
        if self._closed is not None:
            self._closed.set()
            self._closed = None

    def _tell(self, is_news: bool, told: Told) -> None:
        with self._lock:
            self._told = told
            self._is_news = self._is_news or is_news
            if self._is_news and time.monotonic() - self._said_s >= self._every_s:
                self._is_news = False
                self._say(f"  {told.line}")

    def _live(self, closed: threading.Event) -> None:
        """Say now and then that it goes on, until it is closed."""
        left_s = self._alive_s
        while not closed.wait(left_s):
            with self._lock:
                left_s = self._said_s + self._alive_s - time.monotonic()
                if left_s > 0:
                    continue
                left_s = self._alive_s
                spent = duration(time.monotonic() - self._began_s)
                so_far = f": {self._told.line}" if self._told else ""
                self._say(f"  still at it, for {spent}{so_far}")

    def _say(self, text: str) -> None:
        self._said_s = time.monotonic()
        tell(self._stream, f"{printable(text)}\n")


class RichProgress:
    """A few lines that are redrawn in place: a bar, and what is told of the current step."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True, markup=False, emoji=False, highlight=False)
        self._live: Live | None = None
        self._rates = Rates()
        self._began_s = 0.0
        self._told: Told | None = None
        self._share: float | None = None

    def phase(self, name: str) -> None:
        """See `Progress.phase`."""
        from rich.live import Live

        self.close()
        self._rates, self._told, self._share = Rates(), None, None
        self._began_s = time.monotonic()
        self._console.print(printable(name), style="bold")
        self._live = Live(
            get_renderable=self._picture,
            console=self._console,
            transient=True,
            refresh_per_second=_DRAWN_PER_S,
            redirect_stdout=sys.stdout.isatty(),  # what machines read stays where it belongs
        )
        self._live.start()

    def note(self, text: str) -> None:
        """See `Progress.note`."""
        self._console.print(f"  {printable(text)}")

    def update(self, done: int, total: int | None, figures: ProgressFigures | None = None) -> None:
        """See `Progress.update`."""
        _, self._told = _told(done, total, figures, self._rates)
        left_s = figures.left_s if figures else None
        if figures and left_s is not None:  # in time: samples may all end with the test
            self._share = figures.elapsed_s / max(figures.elapsed_s + left_s, 1e-9)
        else:
            self._share = done / total if total else None

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        """See `DownloadProgress.transferred`."""
        self._rates.add(time.monotonic(), done_bytes)
        self._told = describe_transfer(done_bytes, total_bytes, self._rates)
        self._share = done_bytes / max(total_bytes, 1)

    def close(self) -> None:
        """See `Progress.close`."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _picture(self) -> RenderableType:
        """What is known now. Each thing has a line of its own, so that nothing moves when a number
        gets longer.
        """
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        told = self._told or Told((f"for {duration(time.monotonic() - self._began_s)}",))
        first = Table.grid(padding=(0, 1), pad_edge=True)
        if self._share is None:
            first.add_row(Spinner("line"), Text(" | ".join(told.how_far)))
        else:
            width = 24 if self._console.width >= _WIDE else 12
            bar = ProgressBar(total=1.0, completed=self._share, width=width)
            first.add_row(bar, Text(" | ".join(told.how_far)))
        below = [Text(f" {' | '.join(parts)}") for parts in (told.how_fast, told.how_well) if parts]
        return Group(first, *below)


def _told(
    done: int, total: int | None, figures: ProgressFigures | None, rates: Rates
) -> tuple[bool, Told]:
    """Whether something is new, and what there is to tell."""
    now_s = time.monotonic()
    if figures is None:
        return rates.add(now_s, done), describe(done, total, rates)
    is_news = rates.add(now_s, figures.tokens, figures.prompt_tokens)
    return is_news, describe_test(done, total, figures, rates)


def make_progress(*, quiet: bool = False) -> Progress:
    """Rich on a terminal that can redraw, lines otherwise."""
    if quiet:
        return NullProgress()
    if sys.stderr.isatty():
        from rich.console import Console

        if not Console(stderr=True).is_dumb_terminal:
            return RichProgress()
    return LineProgress()
