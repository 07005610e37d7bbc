"""Answers to requests whose bodies were not read: where the rest of a body comes at once, it is
taken off the line, and the connection can be used again; otherwise the connection is closed.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_MOMENT_S = 1.0  # for the rest of a body, before its answer
_LINGER_S = 5.0  # and after it, where the connection is closed


@dataclass(frozen=True, slots=True)
class UnreadBodies:
    """An application of ASGI around another, which need not read a body before it answers."""

    app: ASGIApp
    most_bytes: int
    """Of a body that is taken off the line."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"")
        exchange = _Exchange(
            receive,
            send,
            self.most_bytes,
            # whoever asks before it sends one does not send it once it is refused
            awaits=b"expect" not in headers
            and not (length.isdigit() and int(length) > self.most_bytes),
            whole=not headers.keys() & {b"content-length", b"transfer-encoding"},
        )
        await self.app(scope, exchange.receive, exchange.send)


@dataclass(slots=True)
class _Exchange:
    """A request and its answer; `whole` is whether all of the request was taken off the line."""

    _receive: Receive
    _send: Send
    _most_bytes: int
    awaits: bool
    whole: bool
    size: int = 0
    closes: bool = False

    async def receive(self) -> Message:
        message = await self._receive()
        self.size += len(message.get("body", b""))
        self.whole = self.whole or not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if self.whole and not self.closes:
            await self._send(message)
        elif message["type"] == "http.response.start":
            if self.awaits:
                await self._rest(self._most_bytes, _MOMENT_S)
            self.closes = not self.whole
            if self.closes:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await self._send(message)
        else:
            await self._last(message)

    async def _last(self, message: Message) -> None:
        """The body of the answer, and the connection is closed a while later: a client that still
        sends would otherwise find a broken connection and not the answer.
        """
        await self._send({**message, "more_body": True})
        if not message.get("more_body", False):
            await self._rest(None, _LINGER_S)
            await self._send({"type": "http.response.body", "body": b""})

    async def _rest(self, most_bytes: int | None, limit_s: float) -> None:
        async def read() -> None:
            while not self.whole and (most_bytes is None or self.size <= most_bytes):
                await self.receive()

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read(), limit_s)
