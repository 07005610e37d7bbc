"""The HTTP client: one pool of connections to all servers of an executor.

aiohttp, because a chunk of a stream costs least with it: over loopback, 64 streams of small events
took 21 microseconds of CPU time an event, and 55 with httpx2.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from build_engine.errors import MissingLibrary, UsageError

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from runtime.endpoint.key import Key

_CONNECT_S = 15.0
_KEEP_ALIVE_S = 4.0  # uvicorn closes an idle connection after 5 s
_READ_BYTES = 2**18


def require_library() -> None:
    """Raise MissingLibrary where the extra `endpoint` is not installed."""
    if find_spec("aiohttp") is None:
        raise MissingLibrary("aiohttp", "endpoint")


def require_connections(in_flight_each: int, num_servers: int, allowed: int) -> None:
    """Raise UsageError where as many connections are not `allowed` to this process."""
    if in_flight_each * num_servers <= allowed:
        return
    each = allowed // num_servers
    fewer = f"give --max-in-flight {each}, or raise" if each else "raise"
    raise UsageError(
        f"--max-in-flight {in_flight_each:,} takes {in_flight_each * num_servers:,} connections, "
        f"and this process may have {allowed:,}; {fewer} the limit of open files (ulimit -Hn)."
    )


def open_session(key: Key, limit_s: float | None = None, *, pooled: bool = False) -> ClientSession:
    """A session that sends the key and asks no proxy; `limit_s` bounds each request. Without
    `pooled` each has a connection of its own: llama.cpp closes one after a stream without saying
    so. Its caller closes it.
    """
    import aiohttp

    connector = (
        aiohttp.TCPConnector(limit=0, keepalive_timeout=_KEEP_ALIVE_S)
        if pooled
        else aiohttp.TCPConnector(limit=0, force_close=True)
    )
    return aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=limit_s, sock_connect=_CONNECT_S),
        headers={
            "content-type": "application/json",
            "accept": "*/*",
            "accept-encoding": "identity",  # no token waits in what would pack it
            **key.headers,
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        read_bufsize=_READ_BYTES,
    )
