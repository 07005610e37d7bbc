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

from build_engine.errors import EngineDied, EnvironmentFault, MissingLibrary, UsageError
from runtime.server.app import Door
from runtime.server.dispatch import Dispatcher
from runtime.server.metrics import Metrics
from runtime.server.prompts import Prompts
from runtime.server.settings import KEY_VARIABLE

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from build_engine.store.engine import Engine
    from runtime.executor import Executor
    from runtime.server.settings import ServerSettings

_BACKLOG = 2048
_GRACE_S = 10  # for open requests, once the server is to end
_KEEP_ALIVE_S = 60  # longer than clients keep theirs, so that none sends into a closing one
_LIBRARIES = ("starlette", "uvicorn", "httptools", "prometheus_client")


def require_libraries() -> None:
    """Raise MissingLibrary where the extra `serve` is not installed."""
    for name in _LIBRARIES:
        if find_spec(name) is None:
            raise MissingLibrary(name, "serve")


def bind(host: str, port: int, *, has_key: bool) -> socket.socket:
    """A socket of our own at this address, where whoever comes waits until we serve; port 0 takes
    a free one.

    Raises UsageError for an address that is none of this machine's, and for one that others reach
    without a key; EnvironmentFault for a port that is taken.
    """
    if not 0 <= port < 2**16:
        raise UsageError(f"--port is {port}; give 0 (any) to 65535.")
    try:
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
        bound.bind(address)
        bound.listen(_BACKLOG)  # a port is not ours before
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
) -> None:
    """Answer requests until the process is asked to end. Raises EngineDied when the engine goes
    first. The caller closes the executor and the socket.
    """
    prompts = Prompts.of(engine)
    dispatcher = Dispatcher(executor, settings.max_requests)
    metrics = Metrics()
    metrics.watch(lambda: dispatcher.num_open, executor.stats)
    app = Door(settings, prompts, dispatcher, metrics).app()
    on_ready()
    try:
        # uvicorn ends in good order, and then raises the signal that it was sent once more
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_run(app, dispatcher, bound))
    finally:
        dispatcher.close()
        if prompts.chat is not None:
            prompts.chat.close()
    if dispatcher.death is not None:
        raise EngineDied(dispatcher.death)


async def _run(app: Starlette, dispatcher: Dispatcher, bound: socket.socket) -> None:
    import uvicorn

    from build_engine.libraries import installed_version

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            http="httptools",
            ws="none",
            lifespan="off",
            loop="asyncio",
            log_config=None,
            access_log=False,
            server_header=False,
            headers=[("server", f"enginebench/{installed_version('enginebench')}")],
            backlog=_BACKLOG,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )

    def end() -> None:
        server.should_exit = True

    dispatcher.start(on_death=end)
    await server.serve(sockets=[bound])
