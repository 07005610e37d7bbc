"""A program of ours in a process of its own: how it is started, talked with, and ended.

Messages are objects of named classes. They cross whole and in order over one line, in both
directions. Either side learns of the other's end by the line closing, so that whatever kills one of
them, no half message is seen and nobody waits for ever.
"""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import queue
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

_LAST_MOMENT_S = 10.0  # for a process that hung up to end, and for a killed one to be gone
_CATCH_UP_S = 2.0
_LAST_WORDS_BYTES = 4096
_HEAD = struct.Struct("!Q")  # before each message: its bytes


class Hangup(Exception):
    """The other end of a line is closed; all that was said before was received."""


class Line:
    """One end of the line between two processes. Any thread may send, one at a time receives."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._send_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._part = bytearray(_HEAD.size)  # of a head or of a message, as far as it was heard
        self._num_heard = 0
        self._in_message = False

    @classmethod
    def to_parent(cls) -> Line:
        """In a process that `Child` started: the line to the one that did."""
        return cls(int(sys.argv[-1]))

    def send(self, message: object) -> None:
        """Say something, once the other end has heard enough of what was said before. Raises Hangup
        when nobody is there to hear it.
        """
        self.push(framed(message))

    def tell(self, message: object) -> None:
        """`send`, or nothing where nobody is there."""
        with contextlib.suppress(Hangup):
            self.send(message)

    def push(self, frame: bytes) -> None:
        """`send` what is `framed`, or the rest of it."""
        try:
            with self._send_lock:
                self._socket.sendall(frame)
        except OSError:
            raise Hangup from None

    def offer(self, frame: bytes) -> int:
        """How many bytes of it were sent: as many as there is room for now."""
        try:
            with self._send_lock:
                return self._socket.send(frame, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError:
            raise Hangup from None

    def receive(self, timeout_s: float | None = None) -> object | None:
        """The next message; None when none came whole within `timeout_s` seconds (None: no limit).

        Raises Hangup after the last message.
        """
        deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
        try:
            with self._receive_lock:
                while (data := self._heard()) is None:
                    if not self._more(deadline_s):
                        return None
        except OSError:
            raise Hangup from None
        message: object = pickle.loads(data)
        return message

    def close(self) -> None:
        """Hang up; whoever waits for a message on either end gets a Hangup. Idempotent."""
        with contextlib.suppress(OSError):  # closed before, or left by the other side
            # a line that is only closed stays open while another thread reads from it
            self._socket.shutdown(socket.SHUT_RDWR)
        # a thread between two reads or writes would go on with the next file of this number
        with self._send_lock, self._receive_lock:
            self._socket.close()

    def _heard(self) -> bytearray | None:
        """The next message, if all of it has come: a process may be stopped within one. Raises
        Hangup and OSError.
        """
        while True:
            rest = memoryview(self._part)[self._num_heard :]
            try:
                num_new = self._socket.recv_into(rest, 0, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return None
            if not num_new:
                raise Hangup
            self._num_heard += num_new
            if num_new < len(rest):
                continue
            whole, was_message = self._part, self._in_message
            num_next = _HEAD.size if was_message else _HEAD.unpack(whole)[0]
            self._part, self._num_heard = bytearray(num_next), 0
            self._in_message = not was_message
            if was_message:
                return whole

    def _more(self, deadline_s: float | None) -> bool:
        """Wait until more has come, or the time is over."""
        left_ms = None
        if deadline_s is not None:
            left_ms = max(0, math.ceil((deadline_s - time.monotonic()) * 1e3))
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return bool(poll.poll(left_ms))


def framed(message: object) -> bytes:
    """A message as it crosses a line."""
    data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return _HEAD.pack(len(data)) + data


class Inbox:
    """The messages of a line, read by a thread of their own, so that Ctrl-C comes between two of
    them and never within one.
    """

    def __init__(self, line: Line) -> None:
        self._line = line
        self._messages: queue.SimpleQueue[object | None] = queue.SimpleQueue()
        threading.Thread(target=self._read, name="inbox", daemon=True).start()

    def receive(self, timeout_s: float) -> object | None:
        """See `Line.receive`. The thread has a moment more to catch up: we may have been stopped
        for longer than `timeout_s`.
        """
        try:
            message = self._messages.get(timeout=timeout_s)
        except queue.Empty:
            try:
                message = self._messages.get(timeout=_CATCH_UP_S)
            except queue.Empty:
                return None
        if message is None:
            self._messages.put(None)  # for whoever asks again
            raise Hangup
        return message

    def _read(self) -> None:
        with contextlib.suppress(Hangup):
            while True:
                self._messages.put(self._line.receive())
        self._messages.put(None)


class Child:
    """A module of ours, run as `python -m` in a process of its own, with a line to it.

    `name` is what its obituary calls it. Its output goes to the file `log` (a temporary one when
    None), and it works in `folder` (ours when None). With `own_group` Ctrl-C does not reach it, and
    all that it starts is ended with it; without, it belongs to the group that we are in, and ends
    with that.
    """

    def __init__(
        self,
        name: str,
        module: str,
        *arguments: str,
        log: Path | None = None,
        folder: Path | None = None,
        own_group: bool = False,
    ) -> None:
        self._name = name
        self._own_group = own_group
        self._ended = False
        ours, theirs = socket.socketpair()
        with contextlib.ExitStack() as undo, theirs:
            undo.enter_context(ours)
            self._log: IO[bytes] = undo.enter_context(_output(log))
            self._process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
                start_new_session=own_group,
                cwd=folder,
                env=child_environment(),
            )
            undo.pop_all()
        self.line = Line(ours.detach())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code, negative for the signal that ended it; None while it runs on."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode

    def obituary(self) -> str:
        """How it ended and its last words, in one sentence; for one that hung up, before `end`."""
        code = self.wait(_LAST_MOMENT_S)
        if code is None:
            how = "hung up and went on running"
        elif code < 0:
            how = f"was ended by {_signal_name(-code)}"
        else:
            how = f"ended with exit code {code}"
        words = self._last_words()
        return f"{self._name} {how}" + (f"; its last words: {words}" if words else "")

    def end(self, grace_s: float) -> None:
        """Hang up, and kill it when it has not ended within `grace_s` seconds, and its group in any
        case. Ctrl-C waits until that is done. Idempotent.
        """
        with _uninterrupted():
            self.line.close()
            if self._ended:
                return
            self._ended = True
            self.wait(grace_s)
            with contextlib.suppress(ProcessLookupError):
                if self._own_group:
                    os.killpg(self.pid, signal.SIGKILL)
                else:
                    self._process.kill()
            self.wait(_LAST_MOMENT_S)
            self._log.close()

    def output(self, max_bytes: int) -> str:
        """The end of what it wrote, before `end`."""
        start = max(0, os.fstat(self._log.fileno()).st_size - max_bytes)
        # pread, because the place in the file is shared with the process that writes it
        return os.pread(self._log.fileno(), max_bytes, start).decode(errors="replace")

    def _last_words(self) -> str:
        """The last line of its output."""
        text = self.output(_LAST_WORDS_BYTES)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""


def _output(log: Path | None) -> IO[bytes]:
    return tempfile.TemporaryFile() if log is None else log.open("w+b")


def child_environment() -> dict[str, str]:
    """Our environment, with a PYTHONPATH that means the same in another working directory."""
    paths = os.environ.get("PYTHONPATH")
    if not paths:
        return dict(os.environ)
    absolute = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
    return {**os.environ, "PYTHONPATH": absolute}


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C and SIGTERM while a process is being ended do not leave it behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: not one of Python's


def _signal_name(number: int) -> str:
    try:
        name = signal.Signals(number).name
    except ValueError:  # a real-time signal
        name = f"signal {number}"
    return name + (" (out of memory?)" if number == signal.SIGKILL else "")
