"""What the OpenVINO executor is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from runtime.spec import EngineFolderSpec


class _OnCPU(EngineFolderSpec):
    """An engine folder, executed by OpenVINO GenAI."""

    num_threads: PositiveInt | None = None
    """CPU threads of the engine; None leaves it to OpenVINO (one per physical core)."""


class OpenVINOSpec(_OnCPU):
    """An engine of the CPU target."""

    backend: Literal["openvino"] = "openvino"


class EmulatedSpec(_OnCPU):
    """An engine that carries out a GPU recipe's arithmetic."""

    backend: Literal["emulated"] = "emulated"
