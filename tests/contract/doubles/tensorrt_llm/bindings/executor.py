"""The bindings as `runtime/trtllm/bindings_facts.json` describes them."""

from __future__ import annotations

from typing import Any

from tests.contract import engine_double

__version__ = "1.2.1"
Executor = engine_double.Executor
Response = engine_double.Response


def __getattr__(name: str) -> Any:
    try:
        return engine_double.WORLD[name]
    except KeyError:
        raise AttributeError(f"the bindings have no `{name}`") from None
