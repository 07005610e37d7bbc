"""Saying something to a process that may not listen, without a wait for it."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING

from runtime.process import Hangup, framed

if TYPE_CHECKING:
    from runtime.process import Line


class Outbox:
    """All that is sent over a line: at once where there is room for it, and otherwise later, in
    order, by a thread that lives until it has caught up. Any thread may send.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._lock = threading.Lock()
        self._late: deque[bytes] = deque()
        self._hung_up = False

    def send(self, message: object) -> None:
        """Say something; never waits. Raises Hangup when it is known that nobody is there to hear
        it; who is told nothing may still learn so by `Line.receive`.
        """
        frame = framed(message)
        with self._lock:
            if self._hung_up:
                raise Hangup
            if not self._late:
                frame = frame[self._line.offer(frame) :]
            if frame:
                self._late.append(frame)
                if len(self._late) == 1:
                    self._start_to_catch_up()

    def tell(self, message: object) -> None:
        """`send`, or nothing where nobody is there."""
        with contextlib.suppress(Hangup):
            self.send(message)

    def _start_to_catch_up(self) -> None:
        """Raises Hangup where there can be no thread: half a message would be the last one."""
        try:
            threading.Thread(target=self._catch_up, name="outbox", daemon=True).start()
        except RuntimeError:
            self._hung_up = True
            self._late.clear()
            self._line.close()
            raise Hangup from None

    def _catch_up(self) -> None:
        try:
            while True:
                self._line.push(self._late[0])
                with self._lock:
                    self._late.popleft()
                    if not self._late:
                        return
        except Hangup:
            with self._lock:
                self._hung_up = True
                self._late.clear()
