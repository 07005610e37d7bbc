"""A server that behaves as a test says: every way of answering, and of not answering."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from aiohttp import web

Act: TypeAlias = Callable[
    ["FakeServer", web.Request, dict[str, Any]], Awaitable[web.StreamResponse]
]

TOLD = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "tiny"}


@dataclass
class FakeServer:
    """Answers `/v1/completions` by `act`; keeps what it was asked, and how often at once."""

    act: Act
    models: tuple[dict[str, Any], ...] = (
        {"id": "tiny", "owned_by": "vllm", "max_model_len": 4096},
    )
    lists: bool = True
    asked: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    codings: list[str] = field(default_factory=list)
    open: int = 0
    most: int = 0
    url: str = ""

    async def completions(self, request: web.Request) -> web.StreamResponse:
        self.keys.append(request.headers.get("authorization", ""))
        self.codings.append(request.headers.get("accept-encoding", ""))
        body = await request.json()
        self.asked.append(body)
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            return await self.act(self, request, body)
        finally:
            self.open -= 1

    async def list_models(self, request: web.Request) -> web.Response:
        if not self.lists:
            return web.json_response({"detail": "Not Found"}, status=404)
        return web.json_response({"object": "list", "data": list(self.models)})

    async def version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": "0.11.0"})


def event(text: str = "", ids: list[int] | None = None, reason: str | None = None) -> bytes:
    """One event of a stream, as vLLM writes it."""
    choice: dict[str, Any] = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
    if ids is not None:
        choice["token_ids"] = ids
    return b"data: " + json.dumps({**TOLD, "choices": [choice]}).encode() + b"\n\n"


async def stream(request: web.Request, *parts: bytes, pause_s: float = 0.0) -> web.StreamResponse:
    """These bytes, piece by piece."""
    response = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await response.prepare(request)
    for part in parts:
        await response.write(part)
        await asyncio.sleep(pause_s)
    await response.write_eof()
    return response


async def vllm(
    server: FakeServer, request: web.Request, body: dict[str, Any]
) -> web.StreamResponse:
    """The prompt once more, id by id, and then the id that ends an answer."""
    prompt = body["prompt"]
    if not isinstance(prompt, list):
        return web.json_response({"error": {"message": "ids, please"}}, status=400)
    ids = prompt[: body["max_tokens"] - 1]
    if not body["stream"]:
        choice = {"index": 0, "text": "", "finish_reason": "stop", "token_ids": [*ids, 2]}
        return web.json_response({**TOLD, "choices": [choice]})
    told = body.get("return_token_ids")
    events = [event(f" w{each}", [each] if told else None) for each in ids]
    last = event("", [2] if told else None, "stop")
    return await stream(request, *events, last, b"data: [DONE]\n\n")


def always(status: int, body: object = None, **headers: str) -> Act:
    """The same refusal of everything."""

    async def act(
        server: FakeServer, request: web.Request, body_: dict[str, Any]
    ) -> web.StreamResponse:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=names)

    return act


def sends(*parts: bytes) -> Act:
    """These bytes to everybody, whatever they are."""

    async def act(
        server: FakeServer, request: web.Request, body: dict[str, Any]
    ) -> web.StreamResponse:
        return await stream(request, *parts)

    return act


@contextlib.contextmanager
def running(act: Act, **fields: Any) -> Iterator[FakeServer]:
    """A server on a free port, in a thread."""
    server = FakeServer(act, **fields)
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    runner: list[web.AppRunner] = []

    async def start() -> None:
        app = web.Application(client_max_size=2**24)
        app.router.add_post("/v1/completions", server.completions)
        app.router.add_get("/v1/models", server.list_models)
        app.router.add_get("/version", server.version)
        made = web.AppRunner(app, shutdown_timeout=0.1)
        await made.setup()
        site = web.TCPSite(made, "127.0.0.1", 0)
        await site.start()
        host, port = made.addresses[0][:2]
        server.url = f"http://{host}:{port}"
        runner.append(made)
        ready.set()

    async def stop() -> None:
        await runner[0].cleanup()

    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result(20)
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()
