"""What the libraries of the server say of its faults, on standard error: written by a thread, so
that a reader there who is slow, or has stopped, holds up no request. What is too much for it is
left out.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
from collections.abc import Iterator
from logging.handlers import QueueHandler

_OUT = 2  # standard error
_MOST = 1000  # records that wait
_LAST_S = 1.0  # for the latest ones to be written


class _Dropping(QueueHandler):
    """Without a word of what finds no room: it would be written, too."""

    def handleError(self, record: logging.LogRecord) -> None:
        """logging's."""


@contextlib.contextmanager
def logged_apart() -> Iterator[None]:
    """Meanwhile, what is logged is written by a thread."""
    waiting: queue.Queue[logging.LogRecord | None] = queue.Queue(_MOST)
    handler, root = _Dropping(waiting), logging.getLogger()
    writer = threading.Thread(target=_write, args=(waiting,), name="log", daemon=True)
    writer.start()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        with contextlib.suppress(queue.Full):
            waiting.put_nowait(None)
            writer.join(_LAST_S)


def _write(waiting: queue.Queue[logging.LogRecord | None]) -> None:
    while (record := waiting.get()) is not None:
        with contextlib.suppress(OSError):  # nobody is there
            # neither by a handler nor by `sys.stderr`, whose locks the end of the process waits for
            os.write(_OUT, f"{record.getMessage()}\n".encode(errors="replace"))
