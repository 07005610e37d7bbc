"""The TensorRT-LLM executor: in-flight batching on a GPU, in a process of its own.

`runtime/trtllm/worker.py` is what runs there: `library.py` has every call of the library, and
`answers.py` what its responses mean. Nothing of the library is imported here.
"""

from __future__ import annotations

from runtime.backend import require_executable
from runtime.executor import Request, Unservable
from runtime.remote import RemoteExecutor
from runtime.trtllm.answers import unservable
from runtime.trtllm.room import require_room
from runtime.trtllm.sizes import Sizes
from runtime.trtllm.spec import TRTLLMSpec


class TRTLLMExecutor(RemoteExecutor):
    """An Executor over an engine folder of a GPU target.

    Raises EngineError when the engine is damaged or was built by another version or for another
    GPU, EnvironmentFault when the GPU has too little memory free, EngineDied when it does not
    start, or goes silent: a scheduler that finds no memory for anything looks for it for ever, and
    reports no error.
    """

    def __init__(self, spec: TRTLLMSpec) -> None:
        from build_engine.store.engine import check_loadable, open_engine

        engine = open_engine(spec.folder)
        check_loadable(engine)
        # several would need the library's orchestrator, which kills its parent with a worker, or
        # processes that MPI starts
        require_executable(spec.backend, engine.limits.tensor_parallel)
        require_room(spec)
        self._sizes, self._evicts = Sizes.of(spec), spec.evicts
        self.silence_s = spec.silence_s
        super().__init__("runtime.trtllm.worker", spec)

    def unservable(self, request: Request) -> Unservable | None:
        """See `Foresighted.unservable`."""
        return unservable(request, self._sizes, evicts=self._evicts)
