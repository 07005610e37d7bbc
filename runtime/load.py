"""From a spec to a running executor: the one place that knows which adapters exist."""

from __future__ import annotations

from runtime.executor import Executor
from runtime.spec import ExecutorSpec, SimulatedSpec


def load(spec: ExecutorSpec) -> Executor:
    """Start the engine of `spec`; return when it is ready to take requests.

    Raises EngineError when the engine does not fit this machine, MissingLibrary when its runtime is
    not installed and EngineDied when it fails to start.
    """
    if isinstance(spec, SimulatedSpec):
        from runtime.simulated import SimulatedExecutor

        return SimulatedExecutor(spec)
    from runtime.openvino.executor import OpenVINOExecutor

    return OpenVINOExecutor(spec)
