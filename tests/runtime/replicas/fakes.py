"""Replicas without Ray: each in this process, with a thread for its polls."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor

from runtime.messages import Chunks, Fatal, Work
from runtime.replicas.messages import Loaded
from runtime.replicas.replica import Replica
from runtime.spec import ExecutorSpec


def read_nothing(name: str, offset: int) -> bytes:
    raise AssertionError(f"nothing has to be fetched: {name}, {offset}")


class FakeHandle:
    """A replica, and what can become of it: it dies, or is not heard of any more."""

    device = "a thread"

    def __init__(self, node: str, spec: ExecutorSpec) -> None:
        self.node = node
        self.replica = Replica("127.0.0.1")
        loaded = self.replica.load(spec, None, 1, None, read_nothing)
        assert isinstance(loaded, Loaded), loaded
        self.loaded = loaded
        self.most: int | None = None
        self.submitted: list[int] = []
        self.dies: Exception | None = None
        self.silent = threading.Event()
        self._calls = ThreadPoolExecutor(2)

    def submit(self, work: Work) -> Future[None]:
        self.submitted.append(len(work.rows))
        return self._calls.submit(self.replica.submit, work)

    def poll(self) -> Future[Chunks | Fatal]:
        return self._calls.submit(self._poll)

    def _poll(self) -> Chunks | Fatal:
        reply = self.replica.poll()
        if self.dies is not None:
            raise self.dies
        if self.silent.is_set():
            threading.Event().wait(3.0)
        return reply

    def close(self) -> None:
        self.replica.close()
        self._calls.shutdown(wait=False)
