"""The most memory that a process has held, as the operating system counts it."""

from __future__ import annotations

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")  # of Linux
_FORGET = Path("/proc/self/clear_refs")
_HIGH_WATER = re.compile(r"^VmHWM:\s*(\d+) kB$", re.MULTILINE)


def forget_peak() -> None:
    """Count from what is held now on, where the system can."""
    with suppress(OSError):
        _FORGET.write_text("5", "ascii")  # man 5 proc


def peak_bytes() -> int:
    """The largest resident memory of this process.

    `getrusage` is asked only where there is no /proc: on Linux it gives a new process the peak of
    the one that started it.
    """
    with suppress(OSError):
        if found := _HIGH_WATER.search(_STATUS.read_text("utf-8")):
            return int(found[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
