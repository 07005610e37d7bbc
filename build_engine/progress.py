"""How a build, or a download, tells what it is doing, without knowing who listens."""

from __future__ import annotations

import time
from typing import Protocol


class BuildProgress(Protocol):
    """Listener of a build. The command line shows it; tests and libraries pass `NullProgress`."""

    def phase(self, name: str) -> None:
        """The step `name` begins; the step before it has ended."""
        ...

    def note(self, text: str) -> None:
        """One sentence that a person should see now."""
        ...


class DownloadProgress(BuildProgress, Protocol):
    """Listener of a download, too."""

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        """How much of what the current step brings is here."""
        ...


class NullProgress:
    """A listener that shows nothing."""

    def phase(self, name: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def transferred(self, done_bytes: int, total_bytes: int) -> None:
        """Do nothing."""


class PhaseTimer:
    """Passes everything on to another listener and keeps how long each phase took."""

    def __init__(self, listener: BuildProgress) -> None:
        self._listener = listener
        self._seconds: dict[str, float] = {}
        self._current: str | None = None
        self._began = time.perf_counter()

    def phase(self, name: str) -> None:
        self._close()
        self._current = name
        self._listener.phase(name)

    def note(self, text: str) -> None:
        self._listener.note(text)

    def seconds(self) -> dict[str, float]:
        """Seconds per phase in the order they began; a phase that came twice is summed."""
        self._close()
        return dict(self._seconds)

    def _close(self) -> None:
        now = time.perf_counter()
        if self._current is not None:
            spent = self._seconds.get(self._current, 0.0) + now - self._began
            self._seconds[self._current] = spent
        self._began = now


def size_text(num_bytes: int) -> str:
    """16.1 GB, 34.8 MB, 512 B: for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= size:
            return f"{num_bytes / size:,.1f} {unit}"
    return f"{num_bytes} B"
