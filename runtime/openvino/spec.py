"""What the OpenVINO executor is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, SerializerFunctionWrapHandler, model_serializer

from runtime.spec import EngineFolderSpec, ExecutorSpec


class _OnCPU(EngineFolderSpec):
    """An engine folder, executed by OpenVINO GenAI."""

    num_threads: PositiveInt | None = None
    """CPU threads of the engine; None leaves it to OpenVINO (one per physical core)."""
    num_sharing: PositiveInt = 1
    """Engines that share the memory of the machine, this one among them."""
    max_batch_size: PositiveInt | None = None
    """Requests in flight, at most; None takes the engine's."""
    max_num_tokens: PositiveInt | None = None
    """Tokens of one iteration, at most; None takes the engine's."""

    @model_serializer(mode="wrap")
    def _plain_without_saying(self, serialize: SerializerFunctionWrapHandler) -> object:
        """Records of before there were these fields do not have them, and their seals hold."""
        written = serialize(self)
        for name, usual in (("num_sharing", 1), ("max_batch_size", None), ("max_num_tokens", None)):
            if written.get(name) == usual:
                written.pop(name, None)
        return written

    @property
    def max_in_flight(self) -> int | None:
        """See `ExecutorSpec.max_in_flight`."""
        return self.max_batch_size or super().max_in_flight

    @property
    def own_batch_size(self) -> int | None:
        """See `ExecutorSpec.own_batch_size`."""
        return self.max_batch_size

    def limited(self, max_batch_size: int, max_num_tokens: int) -> ExecutorSpec:
        """See `ExecutorSpec.limited`: OpenVINO's scheduler is told when an engine is loaded."""
        return self.model_copy(
            update={"max_batch_size": max_batch_size, "max_num_tokens": max_num_tokens}
        )

    def on_part(self, num_cores: int, num_sharing: int) -> ExecutorSpec:
        """See `ExecutorSpec.on_part`."""
        num_threads = self.num_threads or num_cores
        return self.model_copy(update={"num_threads": num_threads, "num_sharing": num_sharing})


class OpenVINOSpec(_OnCPU):
    """An engine of the CPU target."""

    backend: Literal["openvino"] = "openvino"


class EmulatedSpec(_OnCPU):
    """An engine that carries out a GPU recipe's arithmetic."""

    backend: Literal["emulated"] = "emulated"
