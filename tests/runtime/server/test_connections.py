"""Connections: how many there may be, and how long one may say or read nothing."""

from __future__ import annotations

import contextlib
import hashlib
import http.client as http_client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import psutil
import pytest

from build_engine.errors import UsageError
from build_engine.store.engine import Engine
from runtime import open_files
from runtime.executor import Request
from runtime.server import http, serve
from runtime.server.settings import BACKLOG
from tests.runtime.server.puppet import Puppet, Served, echo, served, silence
from tests.runtime.server.test_door import open_requests, until

HEAD = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"


@contextlib.contextmanager
def connected(server: Served, read_bytes: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as line:
        if read_bytes is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, read_bytes)
        line.settimeout(30)
        line.connect(("127.0.0.1", server.port))
        yield line


def heard(line: socket.socket) -> bytes:
    """All that comes until the other end hangs up."""
    parts = list[bytes]()
    with contextlib.suppress(ConnectionResetError):
        while part := line.recv(2**16):
            parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize("said", [b"", b"\r\n", b"GET /health HTT", HEAD])
def test_whoever_connects_and_does_not_ask_is_hung_up_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, said: bytes
) -> None:
    monkeypatch.setattr(http, "_IDLE_S", 0.3)
    with served(Puppet(echo), engine) as server, connected(server) as line:
        line.sendall(said)
        assert heard(line) == b""


def test_between_two_requests_there_may_be_a_while(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_IDLE_S", 0.3)
    with served(Puppet(echo), engine) as server, connected(server) as line:
        for _ in range(2):
            line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            answer = b""
            while not answer.endswith(b'{"status":"ok"}'):
                answer += line.recv(2**16)
        assert heard(line) == b""


def test_a_long_answer_is_no_idle_connection(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_IDLE_S", 0.3)
    puppet = Puppet(silence)
    with served(puppet, engine) as server, connected(server) as line:
        line.sendall(HEAD + b'content-length: 15\r\n\r\n{"prompt": [5]}')
        until(lambda: len(puppet.asked) == 1)
        line.settimeout(1.0)
        with pytest.raises(TimeoutError):
            line.recv(1)
        puppet.give(puppet.asked[0], 5, last=True)
        line.settimeout(30)
        assert line.recv(2**16).startswith(b"HTTP/1.1 200")


def test_one_connection_too_many_is_told_so(engine: Engine) -> None:
    with served(Puppet(echo), engine, max_connections=2) as server:
        with connected(server), connected(server) as second:
            second.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert second.recv(2**16).startswith(b"HTTP/1.1 200")
            with connected(server) as third:
                head, _, body = heard(third).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 429 Too Many Requests\r\n")
        assert b"connection: close" in head
        assert json.loads(body)["error"]["code"] == "rate_limit_exceeded"
        until(lambda: server.get("/health").status == 200)


def answered(line: socket.socket) -> tuple[int, bytes]:
    """The status and the head of the next answer."""
    answer = http_client.HTTPResponse(line)
    answer.begin()
    answer.read()
    return answer.status, str(answer.headers).lower().encode()


def test_whoever_finds_no_place_keeps_the_connection(engine: Engine) -> None:
    """A pool of connections is not torn down by those that are to come again."""
    puppet = Puppet(silence)
    body = b'{"prompt": [5]}'
    head = HEAD + b"content-length: %d\r\n\r\n" % len(body)
    with served(puppet, engine, max_requests=1) as server, connected(server) as first:
        first.sendall(head + body)
        until(lambda: len(puppet.asked) == 1)
        with connected(server) as line:
            for pause_s in (0.0, 0.2):  # all in one piece, and the body a little later
                line.sendall(head)
                time.sleep(pause_s)
                line.sendall(body)
                status, told = answered(line)
                assert (status, b"retry-after: " in told) == (429, True)
                assert b"connection: close" not in told
            chunked = HEAD + b"transfer-encoding: chunked\r\n\r\n"
            line.sendall(chunked + b"1388\r\n%s\r\n0\r\n\r\n" % (b"x" * 5000))
            assert answered(line)[0] == 429
            puppet.give(puppet.asked[0], 5, last=True)
            puppet._act = echo
            until(lambda: open_requests(server) == 0)
            line.sendall(head + body)
            assert answered(line)[0] == 200


def test_what_is_refused_before_its_body_keeps_the_connection(engine: Engine) -> None:
    digest = hashlib.sha256(b"sesame").digest()
    with served(Puppet(echo), engine, key_digest=digest) as server, connected(server) as line:
        for path, status in ((b"/v1/completions", 401), (b"/v1/nothing", 404)):
            line.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n" % path)
            time.sleep(0.1)
            line.sendall(b"x" * 5000)
            assert answered(line)[0] == status
        line.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert answered(line)[0] == 200


def test_whoever_asks_before_it_sends_a_body_is_refused_at_once(engine: Engine) -> None:
    """And sends none: another request would be taken for it."""
    digest = hashlib.sha256(b"sesame").digest()
    with served(Puppet(echo), engine, key_digest=digest) as server, connected(server) as line:
        line.sendall(HEAD + b"content-length: 5000\r\nexpect: 100-continue\r\n\r\n")
        status, told = answered(line)
        assert (status, b"connection: close" in told) == (401, True)


def test_a_request_that_finds_no_place_and_sends_no_body_is_hung_up_on(engine: Engine) -> None:
    puppet = Puppet(silence)
    with served(puppet, engine, max_requests=1) as server, connected(server) as first:
        first.sendall(HEAD + b'content-length: 15\r\n\r\n{"prompt": [5]}')
        until(lambda: len(puppet.asked) == 1)
        with connected(server) as line:
            # the body is not awaited, and the answer is read though it is sent nonetheless
            line.sendall(HEAD + b"content-length: 9000\r\n\r\n")
            answer = line.recv(2**16)
            while b"\r\n\r\n" not in answer:
                answer += line.recv(2**16)
            assert answer.startswith(b"HTTP/1.1 429")
            assert b"retry-after: " in answer
            assert b"connection: close" in answer
            line.sendall(b"x" * 9000)
            heard(line)
        puppet.give(puppet.asked[0], 5, last=True)


def test_a_body_that_is_not_wanted_is_not_awaited_for_ever(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.server.unread._LINGER_S", 0.2)
    with served(Puppet(echo), engine) as server, connected(server) as line:
        line.sendall(HEAD + b"content-length: 99999999\r\n\r\n")
        assert heard(line).startswith(b"HTTP/1.1 413")


def test_a_stream_that_nobody_reads_keeps_no_place_and_ends(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve, "_UNREAD_MS", 1000)

    poured = threading.Event()

    def pour(puppet: Puppet, request: Request) -> None:
        for _ in range(40):
            puppet.give(request, *[5] * 100_000)
        poured.set()

    puppet = Puppet(pour)
    with (
        served(puppet, engine, max_requests=1) as server,
        connected(server, read_bytes=4096) as line,
    ):
        body = b'{"prompt": [5], "stream": true, "return_token_ids": true}'
        line.sendall(HEAD + b"content-length: %d\r\n\r\n" % len(body) + body)
        assert poured.wait(30.0)
        assert open_requests(server) == 1
        puppet.give(puppet.asked[0], last=True)
        until(lambda: open_requests(server) == 0)
        puppet._act = echo
        assert server.complete(prompt=[5]).status == 200
        port = line.getsockname()[1]
        until(lambda: port not in clients(server))


def clients(server: Served) -> list[int]:
    """The ports of those that are connected, as the server sees it."""
    mine = psutil.Process().net_connections("tcp")
    return [each.raddr[1] for each in mine if each.raddr and each.laddr[1] == server.port]


@pytest.mark.parametrize(("hard", "allowed"), [(4096, 1000), (512, 448)])
def test_files_are_allowed_as_far_as_they_may_be(hard: int, allowed: int) -> None:
    code = (
        "import resource, runtime.open_files as files\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, (256, {hard}))\n"
        "print(files.allow_connections(1000))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{allowed}\n"


def test_clients_may_open_their_connections_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLPerf Endpoints' client opens a quarter of the ports that Linux has for it, and takes one
    that was refused for open.
    """
    monkeypatch.setattr(open_files, "allow_connections", lambda wanted: wanted)
    assert serve.allow_connections(256) - 256 > (60999 - 32768 + 1) // 4


def test_places_that_can_never_be_taken_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_files, "allow_connections", lambda wanted: 900 + BACKLOG)
    assert serve.allow_connections(900) == 900
    with pytest.raises(UsageError, match=r"^The server has 4,096 places, .* --max-requests 900,"):
        serve.allow_connections(4096)
