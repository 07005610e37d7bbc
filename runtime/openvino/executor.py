"""The OpenVINO GenAI executor: continuous batching on a CPU, in a process of its own.

The engine's process does all the computing, so the caller's interpreter lock stays free for
LoadGen, and an engine that crashes is an `EngineDied` here rather than the end of the caller.
`runtime/openvino/worker.py` is the other end.
"""

from __future__ import annotations

import contextlib
import multiprocessing.connection
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import Any

from build_engine.errors import EngineDied
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.spec import OpenVINOSpec, spec_to_json

_CLOSE_GRACE_S = 5.0


class OpenVINOExecutor:
    """An Executor over an engine folder of the CPU target.

    Raises EngineError when the engine is damaged or was built by another version or for other
    arithmetic, EngineDied when it does not start.
    """

    def __init__(self, spec: OpenVINOSpec) -> None:
        from build_engine.store.engine import check_loadable
        from build_engine.store.store import open_engine

        check_loadable(open_engine(spec.folder))
        ours, theirs = multiprocessing.connection.Pipe()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  it lives until close()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runtime.openvino.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=self._log,
            )
        self._conn = ours
        self._send_lock = threading.Lock()
        self._receive_lock = threading.Lock()
        self._received: list[Chunk] = []
        self._stats = ExecutorStats(active=0, queued=0)
        self._died: str | None = None
        self._send(spec_to_json(spec))
        self._prefix_caching = self._receive_ready()

    @property
    def pid(self) -> int:
        """The engine's process id."""
        return self._process.pid

    @property
    def prefix_caching(self) -> bool:
        """See `Executor.prefix_caching`."""
        return self._prefix_caching

    def submit(self, requests: Sequence[Request]) -> None:
        """See `Executor.submit`. The engine's process reads even while it computes."""
        self._send(
            [
                (r.id, r.prompt_ids, r.max_new_tokens, r.min_new_tokens, r.stop_ids, r.ignore_eos)
                for r in requests
            ]
        )

    def poll(self, timeout_s: float) -> list[Chunk]:
        """See `Executor.poll`."""
        with self._receive_lock:
            if not self._died:
                self._receive(timeout_s)
            chunks, self._received = self._received, []
        if self._died and not chunks:
            raise EngineDied(self._died)
        return chunks

    def stats(self) -> ExecutorStats:
        """See `Executor.stats`."""
        return self._stats

    def close(self) -> None:
        """See `Executor.close`."""
        self._died = self._died or "the engine was closed"
        self._conn.close()  # the worker ends itself when its end of the pipe closes
        try:
            self._process.wait(_CLOSE_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _send(self, message: Any) -> None:
        if self._died:
            raise EngineDied(self._died)
        data = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
        try:
            with self._send_lock:
                self._conn.send_bytes(data)
        except OSError as error:
            with self._receive_lock:  # the engine may have said why it died
                self._receive(_CLOSE_GRACE_S)
            raise self._dead(None) from error

    def _receive(self, timeout_s: float) -> None:
        """Take in what the engine sent, waiting for it at most `timeout_s`; notice its end.

        The caller holds the lock.
        """
        try:
            while self._conn.poll(timeout_s):
                kind, body = pickle.loads(self._conn.recv_bytes())
                if kind == "fatal":
                    self._dead(body)
                    return
                rows, ids, stats = body
                self._stats = ExecutorStats(**stats)
                start = 0
                for request_id, num_ids, finished, error in rows:
                    part = ids[start : start + num_ids]
                    self._received.append(Chunk(request_id, part, finished, error))
                    start += num_ids
                timeout_s = 0.0
        except (EOFError, OSError):
            self._dead(None)

    def _receive_ready(self) -> bool:
        """Wait until the engine is loaded; whether it caches prefixes."""
        try:
            kind, body = pickle.loads(self._conn.recv_bytes())
        except (EOFError, OSError) as error:
            died = self._dead(None)
            self.close()
            raise died from error
        if kind == "fatal":
            died = self._dead(body)
            self.close()
            raise died
        return bool(body["prefix_caching"])

    def _dead(self, cause: str | None) -> EngineDied:
        """The one EngineDied of this executor, with what the process said or how it ended."""
        if self._died is None:
            self._died = f"the engine died: {cause}" if cause else self._obituary()
        return EngineDied(self._died)

    def _obituary(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSE_GRACE_S)
        code = self._process.returncode
        if code is None:
            how = "its process closed the connection"
        elif code < 0:
            how = f"its process was ended by {signal.Signals(-code).name}"
            how += " (out of memory?)" if -code == signal.SIGKILL else ""
        else:
            how = f"its process ended with exit code {code}"
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return f"the engine died: {how}" + (f"; its last words: {lines[-1]}" if lines else "")
