"""The paths of the server, and what happens to a request before and after its answer.

A request has its place before its body is read, so that what is held in memory is bounded, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from build_engine.libraries import installed_version
from runtime.server.answering import Answering
from runtime.server.body import read_chat, read_completion
from runtime.server.dispatch import Gone
from runtime.server.prompts import refused
from runtime.server.refusal import (
    FAILED,
    HUNG_UP,
    NO_KEY,
    NOT_JSON,
    TOO_LARGE,
    TOO_SLOW,
    Refused,
    error_body,
)
from runtime.server.shape import Shape
from runtime.server.unread import UnreadBodies

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from runtime.executor import TokenIds
    from runtime.server.body import Asked, Completion
    from runtime.server.dispatch import Dispatcher, Ticket
    from runtime.server.metrics import Metrics
    from runtime.server.prompts import Prompts
    from runtime.server.settings import ServerSettings

    _Endpoint: TypeAlias = Callable[[Request], Awaitable[ASGIApp]]
    _Reader: TypeAlias = Callable[[bytes], Awaitable[tuple[Asked, TokenIds]]]

_BODY_S = 30.0  # for a body to arrive
_SHORT_CHARS = 2048  # of text: its ids are there sooner than a thread
_LONG_BYTES = 2**16  # of a body, from which much more may be made


@dataclass(frozen=True, slots=True)
class Door:
    """What answers requests with an engine."""

    settings: ServerSettings
    prompts: Prompts
    dispatcher: Dispatcher
    metrics: Metrics
    long_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """What is made of a long one is many times as large: one is read at a time."""

    def app(self) -> ASGIApp:
        """The application of ASGI."""
        from starlette.applications import Starlette
        from starlette.exceptions import HTTPException
        from starlette.routing import Route

        paths = Starlette(
            routes=[
                Route("/health", self._health),
                Route("/metrics", self._guarded(self._metrics)),
                Route("/version", self._guarded(self._version)),
                Route("/v1/models", self._guarded(self._models)),
                Route("/v1/completions", self._guarded(self._completions), methods=["POST"]),
                Route("/v1/chat/completions", self._guarded(self._chats), methods=["POST"]),
            ],
            exception_handlers={HTTPException: _no_such_path, Exception: _broken},
        )
        return UnreadBodies(paths, self.settings.max_body_bytes)

    async def _health(self, request: Request) -> Response:
        cause = self.dispatcher.death
        return _json({"status": cause or "ok"}, 200 if cause is None else 503)

    async def _version(self, request: Request) -> Response:
        return _json({"version": installed_version("enginebench")})

    async def _metrics(self, request: Request) -> Response:
        from prometheus_client import CONTENT_TYPE_LATEST
        from starlette.responses import Response

        return Response(self.metrics.text(), headers={"content-type": CONTENT_TYPE_LATEST})

    async def _models(self, request: Request) -> Response:
        engine = self.prompts.engine
        model = {
            "id": self.settings.name,
            "object": "model",
            "created": self.settings.started,
            "owned_by": "enginebench",
            "root": engine.model,
            "max_model_len": engine.limits.max_seq_len,
            "engine": {
                "key": engine.key,
                "recipe": engine.recipe,
                "target": engine.target,
                "compute": engine.compute,
                "emulated": engine.emulated,
                "backend": engine.backend,
                "libraries": dict(engine.identity.backend.libraries),
            },
        }
        return _json({"object": "list", "data": [model]})

    async def _completions(self, request: Request) -> ASGIApp:
        def ids(asked: Completion, prompt: str | TokenIds) -> TokenIds:
            return self.prompts.of_text(prompt, asked) if isinstance(prompt, str) else prompt

        def read(content: bytes) -> tuple[Completion, str | TokenIds]:
            return read_completion(content, self.settings.name, self.prompts.most_ids)

        def whole(content: bytes) -> tuple[Asked, TokenIds]:
            asked, prompt = read(content)
            return asked, ids(asked, prompt)

        async def answer(content: bytes) -> tuple[Asked, TokenIds]:
            if len(content) > _LONG_BYTES:
                return await self._apart(whole, content)
            asked, prompt = read(content)
            if isinstance(prompt, str) and len(prompt) > _SHORT_CHARS:
                return asked, await asyncio.to_thread(ids, asked, prompt)
            return asked, ids(asked, prompt)

        return await self._answer(request, answer, chat=False)

    async def _chats(self, request: Request) -> ASGIApp:
        def whole(content: bytes) -> tuple[Asked, TokenIds]:
            asked = read_chat(content, self.settings.name)
            return asked, self.prompts.of_chat(asked)

        return await self._answer(request, partial(self._apart, whole), chat=True)

    async def _apart(
        self, read: Callable[[bytes], tuple[Asked, TokenIds]], content: bytes
    ) -> tuple[Asked, TokenIds]:
        """What a body asks, read in a thread."""
        if len(content) <= _LONG_BYTES:
            return await asyncio.to_thread(read, content)
        async with self.long_bodies:
            return await asyncio.to_thread(read, content)

    async def _answer(self, request: Request, read: _Reader, *, chat: bool) -> ASGIApp:
        from starlette.responses import Response, StreamingResponse

        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refused(NOT_JSON, "Send the body as `Content-Type: application/json`.")
        ticket = self.dispatcher.admit()
        try:
            asked, ids = await read(await self._body(request))
            wanted = self.prompts.request(ticket.number, ids, asked, chat=chat)
            if (fault := self.dispatcher.unservable(wanted)) is not None:
                raise refused(fault, chat=chat)
            answering = Answering(
                ticket, wanted, asked, self._shape(asked, ids, chat), self.prompts, self.metrics
            )
            ticket.submit(wanted)
            if asked.stream:
                stream = StreamingResponse(
                    answering.events(),
                    media_type="text/event-stream",
                    headers={"cache-control": "no-cache"},
                )
                return _Held(stream, ticket, partial(self._count, request, answering))
            async with _watched(request, ticket):
                content = await answering.whole()
        except BaseException:
            ticket.release()
            raise
        ticket.release()
        return Response(content, media_type="application/json")

    def _shape(self, asked: Asked, ids: TokenIds, chat: bool) -> Shape:
        return Shape(
            chat=chat,
            model=self.settings.name,
            fingerprint=f"enginebench-{self.prompts.engine.key[:12]}",
            prompt_ids=ids,
            with_ids=asked.return_token_ids,
            usage_at_end=asked.stream_options.include_usage,
            usage_always=asked.stream_options.continuous_usage_stats,
        )

    async def _body(self, request: Request) -> bytes:
        """Raises Refused for one that is too large or too slow, Gone when its sender hangs up."""
        from starlette.requests import ClientDisconnect

        most = self.settings.max_body_bytes
        too_large = Refused(TOO_LARGE, f"The body has more than {most:,} bytes.")

        async def read() -> bytes:
            parts, size = [], 0
            async for part in request.stream():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise too_large
            return b"".join(parts)

        said = request.headers.get("content-length", "")
        if said.isdecimal() and int(said) > most:
            raise too_large
        try:
            return await asyncio.wait_for(read(), _BODY_S)
        except asyncio.TimeoutError:
            raise Refused(TOO_SLOW, f"The body did not arrive within {_BODY_S:.0f} s.") from None
        except ClientDisconnect:
            raise Gone from None

    def _guarded(self, endpoint: _Endpoint) -> _Endpoint:
        """The same for those who have the key, with refusals as answers, and counted: a stream when
        it has ended.
        """
        from starlette.responses import Response

        async def answer(request: Request) -> ASGIApp:
            status = 200
            try:
                self._check_key(request)
                response = await endpoint(request)
            except Refused as fault:
                status = fault.status
                response = _json(fault.body, status, fault.headers)
            except Gone:
                status = HUNG_UP
                response = Response(status_code=status)
            except Exception:
                self.metrics.answered(request.url.path, FAILED.status)
                raise
            if not isinstance(response, _Held):
                self.metrics.answered(request.url.path, status)
            return response

        return answer

    def _count(self, request: Request, answering: Answering) -> None:
        self.metrics.answered(request.url.path, answering.status)

    def _check_key(self, request: Request) -> None:
        """Raises Refused. Digests are compared, so that the time tells nothing of the key."""
        if self.settings.key_digest is None:
            return
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        given = hashlib.sha256(key.strip().encode("latin-1")).digest()
        same = hmac.compare_digest(given, self.settings.key_digest)
        if not same or scheme.lower() != "bearer":
            raise Refused(NO_KEY, "Send the server's key as `Authorization: Bearer KEY`.")


@dataclass(frozen=True, slots=True)
class _Held:
    """A response that holds a place until it is sent, or its receiver hangs up."""

    response: ASGIApp
    ticket: Ticket
    count: Callable[[], None]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.response(scope, receive, send)
        finally:
            self.ticket.release()
            self.count()


@contextlib.asynccontextmanager
async def _watched(request: Request, ticket: Ticket) -> AsyncIterator[None]:
    """Meanwhile, give the ticket up when the sender hangs up."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        ticket.give_up()

    watcher = asyncio.ensure_future(watch())
    try:
        yield
    finally:
        watcher.cancel()


def _json(
    document: Mapping[str, object], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse(document, status, headers)


async def _no_such_path(request: Request, fault: Exception) -> Response:
    """Of a path or a method that is not served."""
    from starlette.exceptions import HTTPException

    assert isinstance(fault, HTTPException)
    what = f"{request.method} {request.url.path[:200]}: {fault.detail}."
    return _json(error_body(what, type="invalid_request_error"), fault.status_code, fault.headers)


async def _broken(request: Request, fault: Exception) -> Response:
    """Of a mistake of ours; the server's log has more."""
    body = error_body(f"{type(fault).__name__} in the server.", type="server_error")
    return _json(body, FAILED.status)
