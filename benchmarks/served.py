"""A server of ours with an engine, as the engine of a LoadGen test."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from runtime.endpoint.identity import Way
from runtime.endpoint.key import KEY_VARIABLE
from runtime.endpoint.spec import EndpointSpec

if TYPE_CHECKING:
    from build_engine.store.engine import Engine

_END_S = 20.0


@contextlib.contextmanager
def served(engine: Engine) -> Iterator[EndpointSpec]:
    """What asks `enginebench serve`, which has loaded this engine and ends with the block. Raises
    RunFailed where it does not start.
    """
    command = ["serve", str(engine.folder), "--port", "0", "--json"]
    with subprocess.Popen(
        [sys.executable, "-m", "enginebench", *command], stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            said = ""
            while not said.endswith("}\n"):
                line = server.stdout.readline()
                if not line:
                    raise RunFailed(f"`enginebench {' '.join(command)}` did not start.")
                said += line
            told = json.loads(said)
            yield EndpointSpec(
                urls=(told["url"],),
                model=told["model"],
                way=Way(prompts="ids", ids="return_token_ids"),
                tokenizer=engine.folder,
                key_variable=KEY_VARIABLE,
            )
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(_END_S)
            except subprocess.TimeoutExpired:
                server.kill()
