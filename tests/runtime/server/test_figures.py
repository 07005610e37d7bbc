"""What `/metrics` counts and times."""

from __future__ import annotations

import contextlib
import json

from build_engine.store.engine import Engine
from runtime.executor import Request
from tests.runtime.server.puppet import Puppet, echo, served
from tests.runtime.server.test_door import figure, until


def test_the_first_token_is_timed_where_its_reader_sees_it(engine: Engine) -> None:
    """Of an answer that is sent whole nobody knows when its first token was there."""
    with served(Puppet(echo), engine) as server:
        server.complete(prompt=[5, 6, 7])
        assert figure(server, "enginebench_request_seconds_count") == 1
        for time_of in ("time_to_first_token", "time_per_output_token"):
            assert figure(server, f"enginebench_{time_of}_seconds_count") == 0
        server.complete(prompt=[5, 6, 7], stream=True)
        assert figure(server, "enginebench_request_seconds_count") == 2
        for time_of in ("time_to_first_token", "time_per_output_token"):
            assert figure(server, f"enginebench_{time_of}_seconds_count") == 1


def test_requests_are_counted_by_what_became_of_them(engine: Engine) -> None:
    def act(puppet: Puppet, request: Request) -> None:
        failing = request.prompt_ids[0] == 6
        puppet.give(request, 5, last=True, error="no cache left" if failing else None)

    def broken(puppet: Puppet, request: Request) -> None:
        raise ZeroDivisionError

    def counted(status: int) -> float:
        labels = f'{{path="/v1/completions",status="{status}"}}'
        try:
            return figure(server, f"enginebench_requests_total{labels}")
        except StopIteration:
            return 0.0

    puppet = Puppet(act)
    with served(puppet, engine) as server:
        for prompt in (5, 6):
            for stream in (False, True):
                server.complete(prompt=[prompt], stream=stream)
        assert (counted(200), counted(500)) == (2, 2)
        puppet._act = lambda puppet, request: puppet.give(request, 5)
        with contextlib.closing(server.connection()) as line:
            body = json.dumps({"prompt": [5], "stream": True})
            line.request("POST", "/v1/completions", body, {"content-type": "application/json"})
            assert line.getresponse().readline().startswith(b"data: ")
        until(lambda: counted(499) == 1)
        puppet._act = broken
        assert server.complete(prompt=[5]).status == 500
        assert (counted(200), counted(500)) == (2, 3)
