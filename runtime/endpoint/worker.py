"""The process of the client: connections to all servers, off LoadGen's process.

One thread has the event loop with the connections, the main one is the head that hands requests out
and passes answers on (`runtime/replicas/head.py`). It ends when the other end hangs up.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from typing import TYPE_CHECKING

from runtime.endpoint.key import read_key
from runtime.endpoint.server import Asking, Server
from runtime.endpoint.session import open_session, require_connections
from runtime.endpoint.spec import EndpointSpec
from runtime.endpoint.tokens import AsTold, ByTokenizer, Words
from runtime.messages import Start
from runtime.open_files import allow_connections
from runtime.process import Line
from runtime.replicas.ears import Ears, lead, obey, telling
from runtime.replicas.head import Head
from runtime.replicas.messages import Loaded

if TYPE_CHECKING:
    from runtime.endpoint.tokens import Counter
    from runtime.executor import Request

_SWITCH_INTERVAL_S = 2e-4  # Python's 5 ms would show up between a token and its telling
_CLOSE_S = 2.0


def _serve(spec: EndpointSpec, line: Line, ears: Ears) -> None:
    """Be the head of the servers until the other end hangs up."""
    each, num_servers = spec.in_flight_each, len(spec.urls)
    require_connections(each, num_servers, allow_connections(each * num_servers))
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    prompt, counter = _texts(spec)
    loaded = Loaded(bool(spec.prefix_caching), spec.in_flight_each)
    with _loop() as loop:
        asking = asyncio.run_coroutine_threadsafe(_asking(spec, prompt, counter), loop).result()
        servers = [Server(url, asking, loop) for url in spec.urls]
        head = Head(
            servers,
            [loaded] * len(servers),
            tolerate_failures=spec.tolerate_failures,
            noun="server",
            guessed=True,
        )
        try:
            with telling(line):
                lead(head, line, ears)
        finally:
            closing = asyncio.run_coroutine_threadsafe(asking.close(), loop)
            wait([closing], timeout=_CLOSE_S)


def _texts(
    spec: EndpointSpec,
) -> tuple[Callable[[Request], str | list[int]], Callable[[], Counter]]:
    """How prompts are written, and the ids of answers found."""
    from build_engine.checkpoint.tokenizer import Tokenizer

    if spec.way.prompts == "ids" and spec.way.ids != "text":
        return _as_ids, AsTold
    tokenizer = Tokenizer.load(spec.tokenizer)
    words = Words(tokenizer)

    def as_text(request: Request) -> str:
        return tokenizer.prompt_text(request.prompt_ids.tolist())

    return (
        _as_ids if spec.way.prompts == "ids" else as_text,
        AsTold if spec.way.ids != "text" else lambda: ByTokenizer(words),
    )


def _as_ids(request: Request) -> list[int]:
    ids: list[int] = request.prompt_ids.tolist()
    return ids


async def _asking(
    spec: EndpointSpec,
    prompt: Callable[[Request], str | list[int]],
    counter: Callable[[], Counter],
) -> Asking:
    """On the loop, as the session wants it."""
    key = read_key(spec.key_variable)
    return Asking(spec, key, open_session(key, pooled=True), open_session(key), prompt, counter)


@contextlib.contextmanager
def _loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop that runs on a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="connections", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSE_S)


def _begin(first: object, line: Line) -> None:
    assert isinstance(first, Start)
    assert isinstance(first.spec, EndpointSpec)
    _serve(first.spec, line, Ears(line))


def main() -> None:
    """Serve the process that started us."""
    obey(_begin)


if __name__ == "__main__":
    main()
