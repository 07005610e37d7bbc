"""How each GPU of this machine is set and used at this moment, as NVML tells.

What is not reported is None. Limits are compared with what the card itself says, never with a table
of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from build_engine.gpu import Holder, read_holders
from build_engine.nvml import Nvml, open_nvml
from build_engine.progress import size_text

# Bits of nvmlDeviceGetCurrentClocksEventReasons (nvml.h, NvmlClocksEventReasons) that mean a slower
# GPU; an idle one has another bit.
SLOWED = {
    0x02: "application clocks are set",
    0x04: "held down by the power limit",
    0x08: "hardware slowdown",
    0x20: "slowed by its temperature",
    0x40: "slowed by its temperature, in hardware",
    0x80: "slowed by the power supply's brake",
}


@dataclass(frozen=True, slots=True)
class Clock:
    """A clock now, and at most, in MHz."""

    now_mhz: int | None
    max_mhz: int | None

    def __str__(self) -> str:
        now, most = (str(mhz or "?") for mhz in (self.now_mhz, self.max_mhz))
        return f"{now} of {most} MHz"


@dataclass(frozen=True, slots=True)
class Instance:
    """A MIG instance: what programs see of a divided GPU."""

    name: str
    memory_bytes: int | None

    def __str__(self) -> str:
        if self.memory_bytes is None:
            return f"{self.name}, memory not reported"
        return f"{self.name}, {size_text(self.memory_bytes)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCondition:
    """One GPU. `slowed` are the reasons why its clocks are held down now."""

    number: int
    """As nvidia-smi counts."""
    name: str
    sm: int | None
    total_bytes: int | None
    free_bytes: int | None
    holders: tuple[Holder, ...]
    sm_clock: Clock
    memory_clock: Clock
    slowed: tuple[str, ...] | None
    power_limit_w: float | None
    default_power_limit_w: float | None
    persistent: bool | None
    """Whether the driver stays loaded while nobody uses it."""
    divided: bool | None
    """Whether MIG is on; None for a GPU that cannot be divided."""
    instances: tuple[Instance, ...]
    """Of a divided GPU."""


def read_conditions() -> tuple[GpuCondition, ...]:
    """Of every GPU, none where there is none. Raises NoNvml where it cannot be known."""
    with open_nvml() as nvml:
        return tuple(_condition(nvml, number, gpu) for number, gpu in enumerate(nvml.gpus()))


def _condition(nvml: Nvml, number: int, gpu: Any) -> GpuCondition:
    memory = nvml.memory(gpu)
    persistence = nvml.ask("nvmlDeviceGetPersistenceMode", gpu)
    return GpuCondition(
        number=number,
        name=nvml.name(gpu),
        sm=nvml.sm(gpu),
        total_bytes=memory.total_bytes,
        free_bytes=memory.free_bytes,
        holders=read_holders(nvml, gpu),
        sm_clock=_clock(nvml, gpu, "NVML_CLOCK_SM"),
        memory_clock=_clock(nvml, gpu, "NVML_CLOCK_MEM"),
        slowed=_slowed(nvml, gpu),
        power_limit_w=_watts(nvml.ask("nvmlDeviceGetEnforcedPowerLimit", gpu)),
        default_power_limit_w=_watts(nvml.ask("nvmlDeviceGetPowerManagementDefaultLimit", gpu)),
        persistent=None if persistence is None else bool(persistence),
        divided=nvml.is_divided(gpu),
        instances=_instances(nvml, gpu),
    )


def _clock(nvml: Nvml, gpu: Any, kind: str) -> Clock:
    which = nvml.constant(kind)
    now, most = (
        nvml.ask(function, gpu, which)
        for function in ("nvmlDeviceGetClockInfo", "nvmlDeviceGetMaxClockInfo")
    )
    return Clock(now, most)


def _slowed(nvml: Nvml, gpu: Any) -> tuple[str, ...] | None:
    bits = nvml.ask("nvmlDeviceGetCurrentClocksEventReasons", gpu)
    if bits is None:  # what drivers before 535 call it
        bits = nvml.ask("nvmlDeviceGetCurrentClocksThrottleReasons", gpu)
    if bits is None:
        return None
    return tuple(reason for bit, reason in SLOWED.items() if int(bits) & bit)


def _instances(nvml: Nvml, gpu: Any) -> tuple[Instance, ...]:
    return tuple(
        Instance(nvml.name(instance), nvml.memory(instance).total_bytes)
        for instance in nvml.instances(gpu)
    )


def _watts(milliwatts: Any) -> float | None:
    return None if milliwatts is None else int(milliwatts) / 1000
