"""The GPU on which engines are compiled here, and who uses it, as NVML tells."""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from typing import Any

from build_engine.errors import EnvironmentFault
from build_engine.progress import size_text


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU; `num_bytes` is None where the driver does not say."""

    pid: int
    name: str
    num_bytes: int | None

    def __str__(self) -> str:
        held = "" if self.num_bytes is None else f" holds {size_text(self.num_bytes)}"
        return f"process {self.pid} ({self.name}){held}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuState:
    """A GPU at this moment. `sm` is 80 for compute capability 8.0."""

    name: str
    sm: int
    total_bytes: int
    free_bytes: int
    holders: tuple[Holder, ...]


def read_gpu() -> GpuState:
    """The first GPU that programs see (CUDA_VISIBLE_DEVICES counts). Raises EnvironmentFault with
    the reason where there is none.
    """
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        raise EnvironmentFault("pynvml is not installed") from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise EnvironmentFault(f"NVML does not start ({error})") from None
    try:
        if nvml.nvmlDeviceGetCount() == 0:
            raise EnvironmentFault("NVML lists no GPU")
        handle = _first_visible(nvml)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        name = nvml.nvmlDeviceGetName(handle)
        return GpuState(
            name=name.decode() if isinstance(name, bytes) else name,
            sm=10 * major + minor,
            total_bytes=int(memory.total),
            free_bytes=int(memory.free),
            holders=_holders(nvml, handle),
        )
    except nvml.NVMLError as error:
        raise EnvironmentFault(f"NVML cannot describe the GPU ({error})") from None
    finally:
        nvml.nvmlShutdown()


def _first_visible(nvml: Any) -> Any:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return nvml.nvmlDeviceGetHandleByIndex(0)
    first = visible.partition(",")[0].strip()
    if first.isdigit():
        return nvml.nvmlDeviceGetHandleByIndex(int(first))
    if first.startswith(("GPU-", "MIG-")):
        return nvml.nvmlDeviceGetHandleByUUID(first)
    raise EnvironmentFault(f"CUDA_VISIBLE_DEVICES={visible} shows no GPU to programs")


def _holders(nvml: Any, handle: Any) -> tuple[Holder, ...]:
    import psutil

    found = []
    for process in nvml.nvmlDeviceGetComputeRunningProcesses(handle):
        try:
            name = psutil.Process(process.pid).name()
        except psutil.Error:
            name = "outside of this container"
        found.append(Holder(process.pid, name, process.usedGpuMemory))
    return tuple(sorted(found, key=lambda holder: -(holder.num_bytes or 0)))
