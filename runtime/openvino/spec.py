"""What the OpenVINO executor is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt, SerializerFunctionWrapHandler, model_serializer

from runtime.spec import ExecutorSpec, LimitedFolderSpec


class _OnCPU(LimitedFolderSpec):
    """An engine folder, executed by OpenVINO GenAI."""

    num_threads: PositiveInt | None = None
    """CPU threads of the engine; None leaves it to OpenVINO (one per physical core)."""
    num_sharing: PositiveInt = 1
    """Engines that share the memory of the machine, this one among them."""

    @model_serializer(mode="wrap")
    def _plain_without_saying(self, serialize: SerializerFunctionWrapHandler) -> object:
        """Records of before there were these fields do not have them, and their seals hold."""
        written = serialize(self)
        for name, usual in (("num_sharing", 1), ("max_batch_size", None), ("max_num_tokens", None)):
            if written.get(name) == usual:
                written.pop(name, None)
        return written

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
