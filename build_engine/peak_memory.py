"""The most memory that a process has held, as the operating system counts it."""

from __future__ import annotations

import re
import resource
import sys
from contextlib import suppress
from pathlib import Path

_STATUS = Path("/proc/self/status")  # of Linux
_STATUS_OF = "/proc/{}/status"
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
    own = _high_water(_STATUS)
    if own is not None:
        return own
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_bytes_of(pid: int) -> int | None:
    """The largest resident memory of a process of ours; None where the system does not tell, or
    the process is gone.
    """
    return _high_water(Path(_STATUS_OF.format(pid)))


def _high_water(status: Path) -> int | None:
    with suppress(OSError):
        if found := _HIGH_WATER.search(status.read_text("utf-8")):
            return int(found[1]) * 1024
    return None
