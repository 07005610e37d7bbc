"""A double of NVML: the functions of `pynvml` that we call, over cards that a test describes.

`tests/build_engine/test_nvml.py` holds names and parameters to the real library. Like it, a query
that a card does not know raises an NVMLError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

GIB = 2**30
CONSTANTS = {
    "NVML_CLOCK_SM": 1,
    "NVML_CLOCK_MEM": 2,
    "nvmlClocksEventReasonApplicationsClocksSetting": 0x2,
    "nvmlClocksEventReasonSwPowerCap": 0x4,
    "nvmlClocksEventReasonHwSlowdown": 0x8,
    "nvmlClocksEventReasonSwThermalSlowdown": 0x20,
    "nvmlClocksThrottleReasonHwThermalSlowdown": 0x40,
    "nvmlClocksThrottleReasonHwPowerBrakeSlowdown": 0x80,
}


class NVMLError(Exception):
    """The base of the library's errors."""


def not_supported(*arguments: Any) -> Any:
    raise NVMLError("Not Supported")


@dataclass(kw_only=True)
class Card:
    """A GPU, or a MIG instance; None is what it does not report. Clocks in MHz, power in mW."""

    name: str | bytes = "NVIDIA A30"
    uuid: str | None = "GPU-0"
    total: int | None = 24 * GIB
    free: int = 23 * GIB
    capability: tuple[int, int] | None = (8, 0)
    ecc: list[int] | None = field(default_factory=lambda: [1, 1])
    clocks: dict[int, int] | None = field(default_factory=lambda: {1: 210, 2: 1215})
    max_clocks: dict[int, int] | None = field(default_factory=lambda: {1: 1440, 2: 1215})
    reasons: int | None = 1  # idle
    power_limit: int | None = 165_000
    default_power_limit: int | None = 165_000
    persistence: int | None = 1
    mig: list[int] | None = field(default_factory=lambda: [0, 0])
    instances: tuple[Card, ...] = ()
    processes: tuple[tuple[int, int | None], ...] = ()
    bus_bits: int | None = 3072
    pcie: tuple[int, int] | None = (4, 16)
    nvlinks: int = 0


def nvml_module(
    *cards: Card, driver: str | bytes | None = "590.48.01", cuda: int | None = 13010, **changed: Any
) -> ModuleType:
    """`pynvml` on a machine with these cards; `changed` are functions in place of its own, None
    takes one away.
    """
    functions: dict[str, Callable[..., Any]] = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: _told(driver),
        "nvmlSystemGetCudaDriverVersion": lambda: _told(cuda),
        "nvmlDeviceGetCount": lambda: len(cards),
        "nvmlDeviceGetHandleByIndex": lambda index: cards[index],
        "nvmlDeviceGetName": lambda handle: handle.name,
        "nvmlDeviceGetUUID": lambda handle: _told(handle.uuid),
        "nvmlDeviceGetCudaComputeCapability": lambda handle: _told(handle.capability),
        "nvmlDeviceGetMemoryInfo": lambda handle, version=None: SimpleNamespace(
            total=_told(handle.total), free=handle.free
        ),
        "nvmlDeviceGetComputeRunningProcesses": lambda handle: [
            SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in handle.processes
        ],
        "nvmlDeviceGetMigMode": lambda device: _told(device.mig),
        "nvmlDeviceGetMaxMigDeviceCount": lambda device: 4,
        "nvmlDeviceGetMigDeviceHandleByIndex": lambda device, index: (
            device.instances[index] if index < len(device.instances) else not_supported()
        ),
        "nvmlDeviceGetEccMode": lambda handle: _told(handle.ecc),
        "nvmlDeviceGetClockInfo": lambda handle, type: _told(handle.clocks)[type],
        "nvmlDeviceGetMaxClockInfo": lambda handle, type: _told(handle.max_clocks)[type],
        "nvmlDeviceGetCurrentClocksEventReasons": lambda handle: _told(handle.reasons),
        "nvmlDeviceGetEnforcedPowerLimit": lambda handle: _told(handle.power_limit),
        "nvmlDeviceGetPowerManagementDefaultLimit": lambda handle: _told(
            handle.default_power_limit
        ),
        "nvmlDeviceGetPersistenceMode": lambda handle: _told(handle.persistence),
        "nvmlDeviceGetMemoryBusWidth": lambda device: _told(device.bus_bits),
        "nvmlDeviceGetMaxPcieLinkGeneration": lambda handle: _told(handle.pcie)[0],
        "nvmlDeviceGetMaxPcieLinkWidth": lambda handle: _told(handle.pcie)[1],
        "nvmlDeviceGetNvLinkState": lambda device, link: (
            1 if link < device.nvlinks else not_supported()
        ),
    }
    module = ModuleType("pynvml")
    module.__dict__.update({"NVMLError": NVMLError, **CONSTANTS, **functions})
    for name, made in changed.items():
        if made is None:
            delattr(module, name)
        else:
            setattr(module, name, made)
    return module


def install_nvml(monkeypatch: pytest.MonkeyPatch, *cards: Card, **changed: Any) -> ModuleType:
    """Put it in the place of the real one, where every GPU is visible."""
    module = nvml_module(*cards, **changed)
    monkeypatch.setitem(sys.modules, "pynvml", module)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return module


def _told(value: Any) -> Any:
    return not_supported() if value is None else value
