"""The GPUs that programs see here, and who uses them, as NVML tells.

CUDA_VISIBLE_DEVICES counts, and of a GPU that MIG divides only its instances do
(https://docs.nvidia.com/cuda/cuda-programming-guide/05-appendices/environment-variables.html).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from build_engine.errors import EnvironmentFault
from build_engine.nvml import Nvml, open_nvml, text
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
    """A GPU at this moment, or a MIG instance of one. None is what the driver does not report, but
    for `holders`, of which there are then none. `sm` is 80 for compute capability 8.0.
    """

    number: int
    """As nvidia-smi counts."""
    uuid: str | None
    name: str
    sm: int | None
    total_bytes: int | None
    free_bytes: int | None
    holders: tuple[Holder, ...]

    def require_free(self, num_bytes: int, what: str, otherwise: str) -> None:
        """Return where so much of its memory is free, or it does not say. Raises EnvironmentFault
        that names how much is missing and who holds the rest; `what` needs it, and `otherwise` is
        what else the user may do.
        """
        free = self.free_bytes
        if free is None or free >= num_bytes:
            return
        held = ", ".join(map(str, self.holders)) or "no process of this container holds any"
        raise EnvironmentFault(
            f"{self.name} has {size_text(free)} of memory free, and {what} about "
            f"{size_text(num_bytes)}, {size_text(num_bytes - free)} more: {held}; end what uses "
            f"it, or {otherwise}."
        )


def visible_gpus() -> tuple[GpuState, ...]:
    """The GPUs that programs see, in CUDA's order, one at least. Raises EnvironmentFault with the
    reason where there is none.
    """
    with open_nvml() as nvml:
        everything = _devices(nvml)
        if not everything and nvml.gpus():
            raise EnvironmentFault(
                "MIG is on and no GPU has an instance; switch it off with `sudo nvidia-smi -mig 0`"
            )
        if not everything:
            raise EnvironmentFault("NVML lists no GPU")
        return tuple(_state(nvml, device) for device in _shown(everything))


def read_gpu() -> GpuState:
    """The first GPU that programs see. Raises as `visible_gpus`."""
    return visible_gpus()[0]


def read_holders(nvml: Nvml, handle: Any) -> tuple[Holder, ...]:
    """The processes that compute on a GPU, the largest first; none where that is not reported."""
    import psutil

    found = []
    for process in nvml.ask("nvmlDeviceGetComputeRunningProcesses", handle) or []:
        try:
            name = psutil.Process(process.pid).name()
        except psutil.Error:
            name = "outside of this container"
        found.append(Holder(process.pid, name, process.usedGpuMemory))
    return tuple(sorted(found, key=lambda holder: -(holder.num_bytes or 0)))


@dataclass(frozen=True, slots=True)
class _Device:
    """What CUDA counts as a device: a whole GPU (`instance` is None), or an instance of one."""

    number: int
    gpu: Any
    instance: Any
    uuids: tuple[str, ...]

    @property
    def handle(self) -> Any:
        return self.gpu if self.instance is None else self.instance


def _devices(nvml: Nvml) -> list[_Device]:
    return [
        device for number, gpu in enumerate(nvml.gpus()) for device in _parts(nvml, number, gpu)
    ]


def _parts(nvml: Nvml, number: int, gpu: Any) -> Iterator[_Device]:
    parts = nvml.instances(gpu) if nvml.is_divided(gpu) else [None]
    for part in parts:
        handles = (gpu,) if part is None else (part, gpu)
        uuids = (nvml.ask("nvmlDeviceGetUUID", handle) for handle in handles)
        yield _Device(number, gpu, part, tuple(text(uuid) for uuid in uuids if uuid is not None))


def _shown(devices: list[_Device]) -> list[_Device]:
    """Those that CUDA_VISIBLE_DEVICES names, in its order: up to the first that is not there."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return devices
    found: list[_Device] = []
    for word in (part.strip() for part in visible.split(",")):
        meant = [device for device in devices if _is_meant(device, word)]
        if not meant:
            break
        found.append(meant[0])
    if not found:
        raise EnvironmentFault(f"CUDA_VISIBLE_DEVICES={visible} shows no GPU to programs")
    return found


def _is_meant(device: _Device, word: str) -> bool:
    """By its number, or by the beginning of its UUID."""
    if word.isdecimal():
        return device.number == int(word)
    if not word.startswith(("GPU-", "MIG-")):
        return False
    return any(uuid.startswith(word) for uuid in device.uuids)


def _state(nvml: Nvml, device: _Device) -> GpuState:
    memory = nvml.memory(device.handle)
    return GpuState(
        number=device.number,
        uuid=next(iter(device.uuids), None),
        name=nvml.name(device.handle),
        sm=nvml.sm(device.handle) or nvml.sm(device.gpu),
        total_bytes=memory.total_bytes,
        free_bytes=memory.free_bytes,
        holders=read_holders(nvml, device.handle),
    )
