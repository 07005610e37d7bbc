"""How the process of a head listens to the one that started it, and tells it what went wrong."""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from runtime.messages import Cancel, Fatal, Ready, Work
from runtime.process import Hangup, Line
from runtime.replicas.messages import ForgetTimes
from runtime.worker import last_line

if TYPE_CHECKING:
    from runtime.replicas.head import Head


class Ears:
    """Reads what is said to us, from the first message on, and knows when nobody is there."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._early: list[Work] = []
        self._head: Head | None = None
        self._lock = threading.Lock()
        self.hung_up = threading.Event()
        threading.Thread(target=self._listen, name="ears", daemon=True).start()

    def attend(self, head: Head) -> None:
        """From now on `head` is told."""
        with self._lock:
            self._head = head
            for work in self._early:
                head.submit(work.requests)
            if self.hung_up.is_set():
                head.stop()

    def _listen(self) -> None:
        try:
            while True:
                said = self._line.receive()
                if isinstance(said, Cancel):
                    continue  # replicas answer what they have begun
                assert isinstance(said, Work | ForgetTimes)
                with self._lock:
                    if isinstance(said, ForgetTimes):
                        if self._head is not None:
                            self._head.forget_times()
                    elif self._head is None:
                        self._early.append(said)
                    else:
                        self._head.submit(said.requests)
        except Hangup:
            with self._lock:
                self.hung_up.set()
                if self._head is not None:
                    self._head.stop()


def lead(head: Head, line: Line, ears: Ears) -> None:
    """Be the head until the other end hangs up. Raises Hangup and EngineDied."""
    ears.attend(head)
    line.send(Ready(head.prefix_caching))
    gc.collect()
    gc.freeze()
    while (news := head.step()) is not None:
        line.send(news)


@contextlib.contextmanager
def telling(line: Line) -> Iterator[None]:
    """The block ends when the other end hangs up, and when something goes wrong, which that is told
    at once: what is to be cleared up afterwards may wait for a network that is gone.
    """
    try:
        yield
    except (Hangup, InterruptedError):
        return
    except EnginebenchError as error:
        line.tell(Fatal.of(error))
    except Exception as error:
        line.tell(Fatal(f"{type(error).__name__}: {last_line(error)}"))


def obey(work: Callable[[object, Line], None]) -> None:
    """Do what the process that started us says first of all, and tell it what keeps that from being
    done.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    line = Line.to_parent()
    first = line.receive()
    with telling(line):
        work(first, line)
