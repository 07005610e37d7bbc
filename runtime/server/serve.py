"""An engine behind an address: from a socket to the last answer.

A first Ctrl-C or SIGTERM takes no more requests and lets the open ones end for a while; a second
Ctrl-C ends at once. No process is left either way.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault, MissingLibrary, UsageError
from build_engine.validation import may_be_host
from runtime import open_files
from runtime.server.app import Door
from runtime.server.dispatch import Dispatcher
from runtime.server.log import logged_apart
from runtime.server.metrics import Metrics
from runtime.server.prompts import Prompts
from runtime.server.settings import BACKLOG, KEY_VARIABLE

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from build_engine.store.engine import Engine
    from runtime.executor import Executor
    from runtime.server.settings import ServerSettings

_IDLE_CONNECTIONS = 8192  # beside those that have a place; MLPerf Endpoints opens 7,058 ahead
_UNREAD_MS = 60_000  # that an answer may wait for its reader
_LIBRARIES = ("starlette", "uvicorn", "httptools", "prometheus_client")


def require_libraries() -> None:
    """Raise MissingLibrary where the extra `serve` is not installed."""
    for name in _LIBRARIES:
        if find_spec(name) is None:
            raise MissingLibrary(name, "serve")


def allow_connections(max_requests: int) -> int:
    """Let this process have connections for so many requests, and more that wait; how many there
    may be. Raises UsageError where it may not have as many as there are requests.
    """
    wanted = max_requests + _IDLE_CONNECTIONS
    # the loop takes a whole backlog before it can refuse one of them
    allowed = open_files.allow_connections(wanted + BACKLOG) - BACKLOG
    if allowed < max_requests:
        raise UsageError(
            f"The server has {max_requests:,} places, and this process may have {allowed:,} "
            f"connections; give --max-requests {max(1, allowed)}, or raise the limit of open files "
            "(ulimit -Hn)."
        )
    return min(wanted, allowed)


def bind(host: str, port: int, *, has_key: bool) -> socket.socket:
    """A socket of our own at this address, where whoever comes waits until we serve; port 0 takes
    a free one.

    Raises UsageError for an address that is none of this machine's, and for one that others reach
    without a key; EnvironmentFault for a port that is taken.
    """
    if not 0 <= port < 2**16:
        raise UsageError(f"--port is {port}; give 0 (any) to 65535.")
    try:
        if not may_be_host(host):
            raise socket.gaierror(socket.EAI_NONAME, "no machine has such a name")
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise UsageError(
            f"--host {host} is no address ({error.strerror}); give one of this machine."
        ) from None
    if not has_key and not ipaddress.ip_address(address[0]).is_loopback:
        raise UsageError(
            f"Others reach --host {host}, and there is no key; put one into {KEY_VARIABLE} or "
            "--api-key-file, or leave out --host."
        )
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # of all its connections: whoever reads nothing for so long is gone to the kernel
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_MS)
        bound.bind(address)
        bound.listen(BACKLOG)  # a port is not ours before
    except OSError as error:
        bound.close()
        raise EnvironmentFault(
            f"Port {port} of {host} cannot be had ({error.strerror}); choose another --port."
        ) from None
    return bound


def url(bound: socket.socket) -> str:
    """The base URL of a socket that is bound."""
    host, port = bound.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(
    executor: Executor,
    engine: Engine,
    settings: ServerSettings,
    bound: socket.socket,
    on_ready: Callable[[], None],
    max_connections: int,
) -> int:
    """Answer requests until the process is asked to end; how many were cut off then. Raises
    EngineDied when the engine goes first. The caller closes the executor and the socket.
    """
    prompts = Prompts.of(engine, trusts_templates=settings.trusts_templates)
    dispatcher = Dispatcher(executor, settings.max_requests)
    metrics = Metrics()
    metrics.watch(lambda: dispatcher.num_open, executor.stats)
    app = Door(settings, prompts, dispatcher, metrics).app()
    on_ready()
    try:
        # uvicorn ends in good order, and then raises the signal that it was sent once more
        with logged_apart(), contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(app, dispatcher, bound, max_connections))
    finally:
        prompts.chats.close()
    if dispatcher.fault is not None:
        raise dispatcher.fault
    return dispatcher.num_cut


async def _run(
    app: ASGIApp, dispatcher: Dispatcher, bound: socket.socket, max_connections: int
) -> None:
    from runtime.server.http import Server

    server = Server(app, dispatcher, max_connections)

    def end() -> None:
        server.should_exit = True

    dispatcher.start(on_death=end)
    try:
        await server.serve(sockets=[bound])
    finally:
        dispatcher.close()
