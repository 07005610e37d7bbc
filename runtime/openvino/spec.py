"""What the OpenVINO executor is made from."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import PositiveInt

from build_engine.validation import Grown
from runtime.spec import ExecutorSpec, LimitedFolderSpec


class _OnCPU(Grown, LimitedFolderSpec):
    """An engine folder, executed by OpenVINO GenAI."""

    LATER: ClassVar[tuple[str, ...]] = ("num_sharing", "max_batch_size", "max_num_tokens")

    num_threads: PositiveInt | None = None
    """CPU threads of the engine; None leaves it to OpenVINO (one per physical core)."""
    num_sharing: PositiveInt = 1
    """Engines that share the memory of the machine, this one among them."""

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
