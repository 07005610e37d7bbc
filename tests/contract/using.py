"""The doubles in use: an engine, a request, and what comes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.doubled import write_engine
from tests.contract.engine_double import WORLD, Executor, Response

W: Any = type("Bindings", (), WORLD)


class Bindings:
    """The module, without an import system."""

    Executor = Executor
    Response = Response

    def __getattr__(self, name: str) -> Any:
        if name not in WORLD:
            raise AttributeError(name)
        return WORLD[name]


def refused(error: type[Exception], make: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        make()
    return str(caught.value)


def executor(folder: Path, built: Any = None, config: Any = None, **script: Any) -> Executor:
    write_engine(folder / "engine", built, **script)
    return Executor(
        model_path=str(folder / "engine"),
        model_type=W.ModelType.DECODER_ONLY,
        executor_config=config or W.ExecutorConfig(),
    )


def request(**fields: Any) -> Any:
    given = {"input_token_ids": [5, 6], "max_tokens": 3, "client_id": 7} | fields
    return W.Request(**given)


def responses(engine: Executor, *requests: Any) -> list[Any]:
    """All of these requests, in order."""
    engine.enqueue_requests(list(requests))
    found: list[Any] = []
    deadline_s = time.monotonic() + 10.0
    while sum(each.has_error() or each.result.is_final for each in found) < len(requests):
        assert time.monotonic() < deadline_s
        found += engine.await_responses(timeout=timedelta(milliseconds=50))
    return found
