"""`enginebench endpoint`."""

from __future__ import annotations

from typing import Annotated

from harness.cli.measuring import measure
from harness.cli.options import FIELDS
from harness.runs.asking import Asking
from harness.runs.endpoint_choice import EndpointChoice


def endpoint(
    urls: str,
    *,
    servers: Annotated[EndpointChoice, FIELDS],
    choice: Annotated[Asking, FIELDS],
    json: bool = False,
) -> int:
    """Benchmark an OpenAI-compatible server with MLPerf LoadGen.

    Parameters
    ----------
    urls
        The server's address, as http://localhost:8000; several with commas share the requests.
    json
        Write run.json to standard output.
    """
    return measure(lambda progress: servers.request(urls, choice, progress), json=json)
