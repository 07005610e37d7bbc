"""The process of the head: it is Ray's driver, and talks with the process that started it.

It ends, with all that it has started, when that one hangs up.
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable

from build_engine.errors import EnginebenchError
from runtime.messages import Cancel, Fatal, Ready, Start, Work
from runtime.process import Hangup, Line
from runtime.replicas.cluster import connected, nodes, offer_of, replicas
from runtime.replicas.head import Head
from runtime.replicas.messages import Survey
from runtime.replicas.spec import ReplicasSpec
from runtime.worker import last_line


class _Ears:
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
                work = self._line.receive()
                if isinstance(work, Cancel):
                    continue  # replicas answer what they have begun
                assert isinstance(work, Work)
                with self._lock:
                    if self._head is None:
                        self._early.append(work)
                    else:
                        self._head.submit(work.requests)
        except Hangup:
            with self._lock:
                self.hung_up.set()
                if self._head is not None:
                    self._head.stop()


def _serve(spec: ReplicasSpec, line: Line, ears: _Ears) -> None:
    """Start the replicas, and be their head until the other end hangs up."""
    offer = offer_of(spec)
    stopped = ears.hung_up.is_set
    with connected(spec.address), replicas(spec, offer, stopped) as (handles, loaded):
        head = Head(handles, loaded, tolerate_failures=spec.tolerate_failures)
        ears.attend(head)
        line.send(Ready(head.prefix_caching))
        gc.collect()
        gc.freeze()
        while (news := head.step()) is not None:
            line.send(news)


def _told(line: Line, work: Callable[[], None]) -> None:
    """Do the work, and tell what keeps it from being done."""
    try:
        work()
    except (Hangup, InterruptedError):
        return
    except EnginebenchError as error:
        line.tell(Fatal(str(error)))
    except Exception as error:
        line.tell(Fatal(f"{type(error).__name__}: {last_line(error)}"))


def _survey(address: str, line: Line) -> None:
    with connected(address):
        line.send(nodes())


def main() -> None:
    """Serve the process that started us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    line = Line.to_parent()
    first = line.receive()
    if isinstance(first, Survey):
        _told(line, lambda: _survey(first.address, line))
        return
    assert isinstance(first, Start)
    spec = first.spec
    assert isinstance(spec, ReplicasSpec)
    ears = _Ears(line)
    _told(line, lambda: _serve(spec, line, ears))


if __name__ == "__main__":
    main()
