"""The TensorRT-LLM executor: in-flight batching on a GPU, in a process of its own.

`runtime/trtllm/worker.py` is what runs there: `library.py` has every call of the library, and
`answers.py` what its responses mean. Nothing of the library is imported here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from runtime.backend import require_executable
from runtime.executor import Chunk, Request, Unservable
from runtime.remote import RemoteExecutor
from runtime.trtllm.answers import unservable
from runtime.trtllm.room import require_room
from runtime.trtllm.sizes import Sizes
from runtime.trtllm.spec import TRTLLMSpec


class TRTLLMExecutor(RemoteExecutor):
    """An Executor over an engine folder of a GPU target.

    Raises EngineError when the engine is damaged or was built by another version or for another
    GPU, EnvironmentFault when the GPU has too little memory free, EngineDied when it does not
    start. An engine that goes silent has died: a scheduler that finds no memory for anything looks
    for it for ever, and reports no error.
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
        self._silence_s = spec.silence_s
        self._count_lock = threading.Lock()
        self._num_open = 0
        self._sign_s = 0.0
        super().__init__("runtime.trtllm.worker", spec)
        self._seen = self.stats()

    def unservable(self, request: Request) -> Unservable | None:
        """See `Foresighted.unservable`."""
        return unservable(request, self._sizes, evicts=self._evicts)

    def submit(self, requests: Sequence[Request]) -> None:
        """See `Executor.submit`."""
        with self._count_lock:
            if not self._num_open:
                self._sign_s = time.monotonic()
            self._num_open += len(requests)
        super().submit(requests)

    def poll(self, timeout_s: float) -> list[Chunk]:
        """See `Executor.poll`."""
        chunks = super().poll(timeout_s)
        with self._count_lock:
            self._num_open -= sum(chunk.finished for chunk in chunks)
            latest = self.stats()
            if chunks or latest is not self._seen:  # each message has figures of its own
                self._seen, self._sign_s = latest, time.monotonic()
            silent = bool(self._num_open) and time.monotonic() - self._sign_s > self._silence_s
        if silent:
            raise self._dead(
                f"it gave no token and made no iteration for {self._silence_s:g} s, with "
                f"{self._num_open} requests open"
            )
        return chunks
