"""The executor over OpenAI-compatible servers: their client is a process of its own,
`runtime/endpoint/worker.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.replicas.executor import HeadExecutor

if TYPE_CHECKING:
    from runtime.endpoint.spec import EndpointSpec

_WORKER = "runtime.endpoint.worker"


class EndpointExecutor(HeadExecutor):
    """An Executor over servers of others. Raises EngineDied where its process does not start."""

    def __init__(self, spec: EndpointSpec) -> None:
        super().__init__(_WORKER, spec)
