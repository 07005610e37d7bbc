"""An executor on strings, and a server over it in a thread."""

from __future__ import annotations

import contextlib
import http.client
import json
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from build_engine.errors import EngineDied
from build_engine.store.engine import Engine
from runtime.executor import Chunk, ExecutorStats, Request
from runtime.server import serve
from runtime.server.settings import ServerSettings

TOLD = "the engine died: as told"


class Puppet:
    """Answers as `act` says, which may answer later by `give`; keeps all that it is asked."""

    prefix_caching = False

    def __init__(self, act: Callable[[Puppet, Request], None]) -> None:
        self._act = act
        self._news: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()
        self._died = False
        self.asked: list[Request] = []
        self.cancelled: list[int] = []

    def submit(self, requests: Sequence[Request]) -> None:
        for request in requests:
            self.asked.append(request)
            self._act(self, request)

    def give(
        self, request: Request, *ids: int, last: bool = False, error: str | None = None
    ) -> None:
        """Tokens of an answer."""
        self._news.put(Chunk(request.id, np.array(ids, np.int32), last, error))

    def poll(self, timeout_s: float) -> list[Chunk]:
        if self._died:
            raise EngineDied(TOLD)
        with contextlib.suppress(queue.Empty):
            chunk = self._news.get(timeout=timeout_s)
            if chunk is not None:
                return [chunk]
            self._died = True
        return []

    def cancel(self, request_ids: Sequence[int]) -> None:
        for request in self.asked:
            if request.id in request_ids:
                self.cancelled.append(request.id)
                self.give(request, last=True, error="it was given up")

    def stats(self) -> ExecutorStats:
        return ExecutorStats(active=0, queued=0)

    def die(self) -> None:
        """After what it has given, it is gone."""
        self._news.put(None)

    def close(self) -> None:
        self._died = True


def echo(puppet: Puppet, request: Request) -> None:
    """The prompt, token by token, as far as it is wanted."""
    ids = request.prompt_ids.tolist()[: request.max_new_tokens]
    for number, each in enumerate(ids, 1):
        puppet.give(request, each, last=number == len(ids))


def silence(puppet: Puppet, request: Request) -> None:
    """Nothing."""


@dataclass(frozen=True)
class Reply:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """Of a stream; its end is None."""
        lines = [line for line in self.body.decode().split("\n\n") if line]
        assert all(line.startswith("data: ") for line in lines)
        texts = [line.removeprefix("data: ") for line in lines]
        return [None if text == "[DONE]" else json.loads(text) for text in texts]


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def get(self, path: str, **headers: str) -> Reply:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, body: object, **headers: str) -> Reply:
        """Bytes are sent as they are, all else as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._ask("POST", path, content, {"content-type": "application/json"} | headers)

    def complete(self, **fields: object) -> Reply:
        return self.post("/v1/completions", fields)

    def _ask(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        with contextlib.closing(self.connection()) as line:
            line.request(method, path, body, headers)
            answer = line.getresponse()
            read = {name.lower(): value for name, value in answer.getheaders()}
            return Reply(answer.status, read, answer.read())


@contextlib.contextmanager
def served(
    puppet: Puppet,
    engine: Engine,
    *,
    max_requests: int = 64,
    max_body_bytes: int = 10_000,
    key_digest: bytes | None = None,
    max_connections: int = 512,
    trusts_templates: bool = False,
) -> Iterator[Served]:
    """A server over the puppet, which dies at the end and so ends the server."""
    settings = ServerSettings(
        name="tiny",
        max_requests=max_requests,
        max_body_bytes=max_body_bytes,
        key_digest=key_digest,
        trusts_templates=trusts_templates,
    )
    ready, ends = threading.Event(), list[str]()

    def run() -> None:
        try:
            serve.serve(puppet, engine, settings, bound, ready.set, max_connections)
        except EngineDied as error:
            ends.append(str(error))

    with serve.bind("127.0.0.1", 0, has_key=False) as bound:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            assert ready.wait(60)
            yield Served(bound.getsockname()[1])
        finally:
            puppet.die()
            thread.join(60)
    assert not thread.is_alive()
    assert ends == [TOLD]
