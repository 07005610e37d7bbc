"""One that is stuck holds up nobody else: an engine, and whoever reads what the server logs."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from build_engine.errors import EngineDied
from build_engine.store.engine import Engine
from runtime.server import log, serve
from runtime.server.settings import ServerSettings
from tests.runtime.server.puppet import Puppet, Reply, Served, echo, served
from tests.runtime.server.test_connections import connected, heard
from tests.runtime.server.test_door import open_requests, until
from tests.toy.executor import ToyExecutor
from tests.toy.install import write_toy
from tests.toy.spec import ToySpec

PLACES = 40


@pytest.fixture
def stopped(engine: Engine, tmp_path: Path) -> Iterator[tuple[ToyExecutor, Served, list[str]]]:
    """A server whose engine is a process that is stopped, with little room on the way to it; and
    what the server ended with.
    """
    executor = ToyExecutor(ToySpec(folder=write_toy(tmp_path / "toy", [5, 6, 7])))
    executor._child.line._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    settings = ServerSettings(name="tiny", max_requests=PLACES, max_body_bytes=9999)
    ends = list[str]()

    def run() -> None:
        with pytest.raises(EngineDied) as caught:
            serve.serve(executor, engine, settings, bound, lambda: None, 512)
        ends.append(str(caught.value))

    os.kill(executor.pid, signal.SIGSTOP)
    with serve.bind("127.0.0.1", 0, has_key=False) as bound:
        thread = threading.Thread(target=run)
        thread.start()
        yield executor, Served(bound.getsockname()[1]), ends
        with contextlib.suppress(ProcessLookupError):
            os.kill(executor.pid, signal.SIGKILL)
        thread.join(60)
    executor.close()
    assert not thread.is_alive()


@contextlib.contextmanager
def filled(server: Served) -> Iterator[list[Future[Reply]]]:
    """As many requests as there are places, several times what goes into the way to the engine."""
    with ThreadPoolExecutor(PLACES) as pool:
        asked = [
            pool.submit(server.complete, prompt=[5 + i] * 40, max_tokens=3, return_token_ids=True)
            for i in range(PLACES)
        ]
        until(lambda: open_requests(server) == PLACES)
        yield asked


def test_an_engine_that_does_not_read_holds_up_nobody(
    stopped: tuple[ToyExecutor, Served, list[str]],
) -> None:
    executor, server, _ = stopped
    with filled(server) as asked:
        assert server.get("/health").json == {"status": "ok"}
        assert server.complete(prompt=[5]).status == 429
        assert server.complete(prompt="x" * 5000).status == 429
        os.kill(executor.pid, signal.SIGCONT)
        for number, reply in enumerate(each.result() for each in asked):
            [choice] = reply.json["choices"]
            assert choice["prompt_token_ids"] == [5 + number] * 40
            assert choice["token_ids"] == [5, 6, 7]
    assert server.complete(prompt=[5]).status == 200


def test_an_engine_that_dies_unread_is_told_with_the_cause(
    stopped: tuple[ToyExecutor, Served, list[str]],
) -> None:
    executor, server, ends = stopped
    with filled(server) as asked:
        os.kill(executor.pid, signal.SIGKILL)
        replies = [each.result() for each in asked]
    cause = "the engine died: its process was ended by SIGKILL (out of memory?)"
    assert {reply.status for reply in replies} == {503}
    assert {reply.json["error"]["message"] for reply in replies} == {cause}
    until(lambda: ends == [cause])


def test_a_log_that_nobody_reads_holds_up_nobody(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """uvicorn has a line for each request that is none."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    monkeypatch.setattr(log, "_MOST", 5)
    monkeypatch.setattr(log, "_OUT", writer)
    with served(Puppet(echo), engine) as server:
        for _ in range(9):
            with connected(server) as line:
                line.sendall(b"nonsense\r\n\r\n")
                assert heard(line).startswith(b"HTTP/1.1 400")
        assert server.complete(prompt=[5]).status == 200
        written = b""
        while written.count(b"\n") < 6:
            written += os.read(reader, 2**16)
    os.close(writer)
    written += os.read(reader, 2**16)
    os.close(reader)
    lines = written.lstrip(b"x").splitlines()
    assert set(lines) == {b"Invalid HTTP request received."}
    assert 6 <= len(lines) <= 7
