"""The end of a server while requests are open, and an engine that is odd but not dead."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import pytest

from build_engine.store.engine import Engine
from runtime.executor import Chunk, Request
from runtime.server import serve
from runtime.server.settings import ServerSettings
from tests.runtime.server.puppet import Puppet, Served, silence
from tests.runtime.server.test_connections import HEAD, connected, heard
from tests.runtime.server.test_door import open_requests, until


@contextlib.contextmanager
def slow(engine: Engine) -> Iterator[tuple[subprocess.Popen[str], Served]]:
    words = [sys.executable, "-m", "tests.runtime.server.slow_server", str(engine.folder)]
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Served(int(process.stdout.readline()))
        finally:
            process.kill()


@pytest.mark.parametrize("interrupts", [1, 2])
def test_requests_that_are_open_at_the_end_are_told_so(engine: Engine, interrupts: int) -> None:
    with (
        slow(engine) as (process, server),
        ThreadPoolExecutor() as pool,
        connected(server) as silent,
        connected(server) as half,
    ):
        half.sendall(HEAD + b"content-length: 99\r\n\r\n{")
        whole = pool.submit(server.complete, prompt=[5])
        stream = pool.submit(server.complete, prompt=[5], stream=True)
        until(lambda: open_requests(server) == 3)
        for _ in range(interrupts):
            process.send_signal(signal.SIGINT)
        if interrupts == 1:
            assert whole.result().status == 503
            assert whole.result().json["error"]["code"] == "server_ends"
            first, last = stream.result().events
            assert first["choices"][0]["text"] == "t5"
            assert last["error"]["code"] == "server_ends"
        else:
            for each in (whole, stream):
                with contextlib.suppress(OSError, ValueError, HTTPException):
                    each.result()
        assert heard(silent) == b""
        output, errors = process.communicate(timeout=30)
        assert (process.returncode, output, errors) == (0, "3\n", "")


class Odd(Puppet):
    """Whose poll raises what it is given."""

    def __init__(self) -> None:
        super().__init__(silence)
        self.fault: Exception | None = None
        self.stray: Chunk | None = None

    def poll(self, timeout_s: float) -> list[Chunk]:
        if self.fault is not None:
            raise self.fault
        if self.stray is not None:
            return [self.stray]
        return super().poll(timeout_s)


@pytest.mark.parametrize("kind", [MemoryError, KeyError, LookupError])
def test_whatever_is_wrong_with_an_engine_ends_requests_and_server(
    engine: Engine, kind: type[Exception]
) -> None:
    puppet, ends, replies = Odd(), list[Exception](), list[Any]()
    settings = ServerSettings(name="tiny", max_requests=8, max_body_bytes=9999)

    def run(bound: socket.socket) -> None:
        try:
            serve.serve(puppet, engine, settings, bound, lambda: None, 64)
        except Exception as error:
            ends.append(error)

    with serve.bind("127.0.0.1", 0, has_key=False) as bound:
        server = Served(bound.getsockname()[1])
        serving = threading.Thread(target=run, args=(bound,))
        serving.start()
        asking = threading.Thread(target=lambda: replies.append(server.complete(prompt=[5])))
        asking.start()
        until(lambda: len(puppet.asked) == 1)
        if kind is LookupError:
            request: Request = puppet.asked[0]
            puppet.stray = Chunk(request.id + 1, request.prompt_ids, finished=False)
        else:
            puppet.fault = kind("odd")
        asking.join(30)
        serving.join(30)
    assert replies[0].status == 503
    assert replies[0].json["error"]["message"] == f"{kind.__name__} in what the engine said"
    assert [type(each) for each in ends] == [kind]
