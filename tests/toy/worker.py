"""The toy's engine, in the process of its own."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Sequence

import numpy as np

from build_engine.errors import MissingLibrary
from runtime.executor import ExecutorStats, Request
from runtime.messages import ChunkRow, Chunks
from runtime.worker import work
from tests.toy.spec import ToySpec

ANSWER = "answer.json"


class ToyEngine:
    """Answers everything with the same ids, as many as are asked for."""

    prefix_caching = True

    def __init__(self, spec: ToySpec) -> None:
        if spec.fault == "refuses":
            raise RuntimeError("Exception from toys.cpp:42:\n\nit is broken\n")
        if spec.fault == "lacks":
            raise MissingLibrary("toys", "toys")
        if spec.fault == "hangs":
            time.sleep(600.0)
        self._fault = spec.fault
        self._ids: list[int] = json.loads((spec.folder / ANSWER).read_text())
        self._waiting: list[Request] = []
        self._num_steps = 0

    @property
    def idle(self) -> bool:
        return not self._waiting and not (self._fault and self._num_steps)

    def add(self, requests: Sequence[Request]) -> None:
        self._waiting += requests

    def step(self) -> Chunks:
        if self._fault == "crashes":
            os.write(sys.stderr.fileno(), b"Segmentation fault (core toyed)\n")
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._fault == "dies" and self._num_steps:
            raise MemoryError("no more key/value cache")
        self._num_steps += 1
        rows: list[ChunkRow] = []
        ids: list[int] = []
        for request in self._waiting:
            answer = self._ids[: request.max_new_tokens]
            rows.append((request.id, len(answer), True, None))
            ids += answer
        self._waiting = []
        return Chunks(rows, np.array(ids, np.int32), ExecutorStats(active=len(rows), queued=0))


if __name__ == "__main__":
    work(ToySpec, ToyEngine)
