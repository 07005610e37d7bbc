"""The OpenVINO GenAI executor: continuous batching on a CPU, in a process of its own.

`runtime/openvino/worker.py` is what runs there.
"""

from __future__ import annotations

from runtime.openvino.room import require_room
from runtime.openvino.spec import EmulatedSpec, OpenVINOSpec
from runtime.remote import RemoteExecutor


class OpenVINOExecutor(RemoteExecutor):
    """An Executor over an engine folder of the CPU target.

    Raises EngineError when the engine is damaged or was built by another version or for other
    arithmetic, EnvironmentFault when the machine has too little memory free, EngineDied when it
    does not start.
    """

    def __init__(self, spec: OpenVINOSpec) -> None:
        from build_engine.store.engine import check_loadable, open_engine

        check_loadable(open_engine(spec.folder))
        require_room(spec)
        super().__init__("runtime.openvino.worker", spec)


class EmulatedExecutor(OpenVINOExecutor):
    """An Executor over an emulated engine; raises as `OpenVINOExecutor`."""

    def __init__(self, spec: EmulatedSpec) -> None:
        super().__init__(OpenVINOSpec(**spec.model_dump(exclude={"backend"})))
