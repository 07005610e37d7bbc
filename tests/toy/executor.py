"""The toy's executor, and its entry."""

from __future__ import annotations

from runtime.backend import Backend
from runtime.remote import RemoteExecutor
from tests.toy.spec import ToySpec


class ToyExecutor(RemoteExecutor):
    """An Executor over a folder of toys."""

    def __init__(self, spec: ToySpec) -> None:
        super().__init__("tests.toy.worker", spec)


BACKEND = Backend(
    name="toy", spec="tests.toy.spec:ToySpec", executor="tests.toy.executor:ToyExecutor"
)
