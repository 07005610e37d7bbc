"""The engine's process: one engine, stepped as long as there is work.

It reads requests at all times (a reader thread; a step leaves the interpreter lock free), sends
what each step made, and ends when the other end hangs up, whoever did. `runtime/remote.py` is that
other end.
"""

from __future__ import annotations

import gc
import os
import queue
import signal
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias, TypeVar

from build_engine.errors import EnginebenchError
from runtime.executor import Cancelling, Request
from runtime.messages import Cancel, Chunks, Fatal, Ready, Start, Work
from runtime.process import Hangup, Line
from runtime.spec import ExecutorSpec

S = TypeVar("S", bound=ExecutorSpec)
_Inbox: TypeAlias = "queue.SimpleQueue[list[Request] | Cancel]"


class SteppedEngine(Protocol):
    """What the worker module of a backend brings along; one that can stop a request is
    `Cancelling`, too.
    """

    @property
    def prefix_caching(self) -> bool:
        """See `Executor.prefix_caching`."""
        ...

    @property
    def idle(self) -> bool:
        """Whether there is nothing to compute and nothing to tell."""
        ...

    def add(self, requests: Sequence[Request]) -> None:
        """Queue requests in order of arrival; one that cannot be served fails in the next step."""
        ...

    def step(self) -> Chunks | None:
        """Compute for a moment, and tell what came of it; None tells nothing. Raises RuntimeError,
        MemoryError or ValueError when the engine cannot go on.
        """
        ...


def work(spec_class: type[S], start: Callable[[S], SteppedEngine]) -> None:
    """Start the engine that we are told of, and serve the process that told us until it hangs up
    or the engine cannot go on.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    line = Line.to_parent()
    first = line.receive()
    assert isinstance(first, Start)
    assert isinstance(first.spec, spec_class)
    inbox: _Inbox = queue.SimpleQueue()
    threading.Thread(target=_read, args=(line, inbox), daemon=True).start()
    try:
        engine = start(first.spec)
        line.send(Ready(engine.prefix_caching))
        gc.collect()
        gc.freeze()
        while True:
            while engine.idle:
                _take(inbox.get(), engine)
            while not inbox.empty():
                _take(inbox.get(), engine)
            if (chunks := engine.step()) is not None:
                line.send(chunks)
    except Hangup:
        return
    except EnginebenchError as error:
        line.tell(Fatal.of(error))
    except (RuntimeError, MemoryError, ValueError) as error:
        line.tell(Fatal(last_line(error)))


def last_line(error: Exception) -> str:
    """Libraries raise errors of many lines; the last one says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _take(order: list[Request] | Cancel, engine: SteppedEngine) -> None:
    if not isinstance(order, Cancel):
        engine.add(order)
    elif isinstance(engine, Cancelling):
        engine.cancel(order.request_ids)


def _read(line: Line, inbox: _Inbox) -> None:
    try:
        while True:
            message = line.receive()
            assert isinstance(message, Work | Cancel)
            inbox.put(message.requests if isinstance(message, Work) else message)
    except Hangup:
        # nobody is left to answer to, and a step in progress must not keep the process alive
        os._exit(0)
