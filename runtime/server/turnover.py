"""How soon a place is likely to be free, by the requests that ended of late."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable

_RECENT = 64
_MOST_WAIT_S = 30


class Turnover:
    """The pace at which an engine ends requests. Its clock stands still while none is open: times
    without work say nothing of how fast it is done.
    """

    def __init__(self, now_s: Callable[[], float] = time.perf_counter) -> None:
        self._now_s = now_s
        self._num_open = 0
        self._since_s = 0.0  # when the first of these was opened
        self._before_s = 0.0  # on our clock, when the last one before had ended
        self._ends_s: deque[float] = deque(maxlen=_RECENT)

    def opened(self) -> None:
        """The engine has one more request."""
        if not self._num_open:
            self._since_s = self._now_s()
        self._num_open += 1

    def ended(self, *, answered: bool = True) -> None:
        """It is done with one; what it only gave up says nothing of its pace."""
        ended_s = self._clock_s()
        if answered:
            self._ends_s.append(ended_s)
        self._num_open -= 1
        self._before_s, self._since_s = ended_s, self._now_s()

    def wait_s(self) -> int:
        """Whole seconds until a place is likely to be free, at the pace of late."""
        if not self._ends_s:
            return 1
        each_s = (self._clock_s() - self._ends_s[0]) / len(self._ends_s)
        return max(1, min(_MOST_WAIT_S, math.ceil(each_s)))

    def _clock_s(self) -> float:
        return self._before_s + (self._now_s() - self._since_s if self._num_open else 0.0)
