"""The supervisor's orders, taken by LoadGen's process at any time, on a thread of their own."""

from __future__ import annotations

import contextlib
import threading

from harness.loadgen.messages import StartTest, Stop
from runtime.process import Hangup, Line


class Orders:
    """A StartTest, later a Stop; the end of the line means the same as Stop."""

    def __init__(self, line: Line) -> None:
        self.stopped = threading.Event()
        self.abandoned = threading.Event()
        """Set when nobody is left to give orders."""
        self._line = line
        self._start: StartTest | None = None
        self._started = threading.Event()
        threading.Thread(target=self._read, name="orders", daemon=True).start()

    def wait_for_start(self) -> StartTest | None:
        """The test to run, or None when there will be none."""
        self._started.wait()
        return self._start

    def _read(self) -> None:
        with contextlib.suppress(Hangup):
            while True:
                order = self._line.receive()
                if isinstance(order, StartTest):
                    self._start = order
                elif isinstance(order, Stop):
                    self.stopped.set()
                self._started.set()
        self.abandoned.set()
        self.stopped.set()
        self._started.set()
