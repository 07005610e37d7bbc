"""A clock for how long somebody else has been silent: it stands still while we could not listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST_STEP_S = 5.0
"""Between two readings. Whoever waits reads it more often than that, unless this process was
stopped (Ctrl-Z, a machine that was suspended).
"""


class AwakeClock:
    """Seconds since it was made in which this process ran. Any thread may read it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._read_s = clock()
        self._now_s = 0.0

    def __call__(self) -> float:
        """Seconds, of which those since the last reading count for `MOST_STEP_S` at most."""
        with self._lock:
            read_s = self._clock()
            self._now_s += min(read_s - self._read_s, MOST_STEP_S)
            self._read_s = read_s
            return self._now_s
