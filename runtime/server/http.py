"""uvicorn as this server has it: its connections have a bound, each is to say something, and its
end is in good order.

Whoever connects has a while to send the head of a request, and again after each answer; what comes
of the body is for the application to bound. At the end the open requests have a while, and those
that are open then are told so.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from build_engine.libraries import installed_version
from runtime.server.refusal import OVERLOADED, Refused
from runtime.server.settings import BACKLOG

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from runtime.server.dispatch import Dispatcher

_GRACE_S = 10.0  # for open requests, once the server is to end
_LAST_S = 2.0  # for what they are told then to be read
_IDLE_S = 60  # longer than clients keep a connection, so that none sends into a closing one
_REFUSAL = Refused(OVERLOADED, "Too many connections are open; come again.", retry_after_s=1)


class Server(uvicorn.Server):
    """Serves an application on at most `max_connections` connections until it is told to end."""

    def __init__(self, app: ASGIApp, dispatcher: Dispatcher, max_connections: int) -> None:
        class Connection(_Connection):
            most = max_connections

        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                loop="asyncio",
                log_config=None,
                access_log=False,
                server_header=False,
                headers=[("server", f"enginebench/{installed_version('enginebench')}")],
                backlog=BACKLOG,
                timeout_keep_alive=_IDLE_S,
                timeout_graceful_shutdown=int(_GRACE_S + 2 * _LAST_S),
            )
        )
        self._dispatcher = dispatcher

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing more, and end what is open: by itself, or when its time is over. uvicorn's
        own way would be to cancel it, without a word to whoever waits.
        """
        late = asyncio.ensure_future(self._end_late())
        try:
            await super().shutdown(sockets)  # returns early when it is to end at once
        finally:
            late.cancel()
            self._dispatcher.stop()
            self._hang_up()
            if tasks := list(self.server_state.tasks):
                await asyncio.wait(tasks, timeout=_LAST_S)

    async def _end_late(self) -> None:
        await asyncio.sleep(_GRACE_S)
        self._dispatcher.stop()
        await asyncio.sleep(_LAST_S)
        self._hang_up()  # on those who do not read, or have not said what they want

    def _hang_up(self) -> None:
        for connection in list(self.server_state.connections):
            if isinstance(connection, _Connection):
                connection.transport.abort()


class _Connection(HttpToolsProtocol):
    """One connection. uvicorn waits for a first request, and for the end of a head, for ever."""

    most: int
    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            transport.write(_whole(_REFUSAL))
            transport.close()
        else:
            self._await_head()

    def on_headers_complete(self) -> None:
        """uvicorn's; there is a request."""
        self._stop_waiting()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """uvicorn's; there may be another one already."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn's."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _await_head(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(_IDLE_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


def _whole(refusal: Refused) -> bytes:
    """An answer to whatever may be asked, as bytes; the connection is closed after it."""
    body = json.dumps(refusal.body).encode()
    headers = {
        **refusal.headers,
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(body)),
    }
    lines = [f"HTTP/1.1 {refusal.status} Too Many Requests"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
