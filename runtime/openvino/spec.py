"""What the OpenVINO executor is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt

from runtime.spec import EngineFolderSpec


class OpenVINOSpec(EngineFolderSpec):
    """An engine folder of the CPU target, executed by OpenVINO GenAI."""

    backend: Literal["openvino"] = "openvino"
    num_threads: PositiveInt | None = None
    """CPU threads of the engine; None leaves it to OpenVINO (one per physical core)."""
