"""A server whose engine is too slow for its end, as a process of its own: `python -m … FOLDER`.

Prints its port when it takes requests, and at the end the number of those that it cut off.
"""

from __future__ import annotations

import sys
from pathlib import Path

from build_engine.store.engine import Engine
from runtime.executor import Request
from runtime.server import http, serve
from runtime.server.settings import ServerSettings
from tests.runtime.server.puppet import Puppet


def _say(number: int) -> None:
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


def _begin(puppet: Puppet, request: Request) -> None:
    puppet.give(request, 5)


if __name__ == "__main__":
    http._GRACE_S, http._LAST_S = 0.5, 0.5
    settings = ServerSettings(name="tiny", max_requests=8, max_body_bytes=9999)
    with serve.bind("127.0.0.1", 0, has_key=False) as bound:
        engine = Engine.load(Path(sys.argv[1]))
        port = bound.getsockname()[1]
        _say(serve.serve(Puppet(_begin), engine, settings, bound, lambda: _say(port), 64))
