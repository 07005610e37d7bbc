"""The NVIDIA GPUs of this machine, as the driver describes them through NVML.

What a GPU does not report is None; nothing is filled in from a table of models.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_DRIVER = Path("/proc/driver/nvidia/version")
_MAX_NVLINKS = 18  # of any GPU, NVML's NVML_NVLINK_MAX_LINKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU. `ecc` is None where its memory has none; clocks are the highest that it reaches."""

    name: str
    memory_bytes: int
    ecc: bool | None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    memory_bus_bits: int | None = None
    pcie_generation: int | None = None
    pcie_lanes: int | None = None
    num_nvlinks: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReport:
    """Every GPU, and the driver's versions; `reason` says who told, or why there is none.

    `blind` means that the machine has NVIDIA's driver, and that the driver could not be asked.
    """

    gpus: tuple[Gpu, ...]
    reason: str
    blind: bool = False
    driver: str | None = None
    cuda: str | None = None

    @property
    def ecc_problems(self) -> list[str]:
        """The GPUs whose ECC is not known to be on, which MLPerf demands of a datacenter system in
        all runs (inference_rules.adoc, "ECC"): one sentence each, with the remedy.
        """
        if self.blind:
            return [f"the ECC state of the GPUs cannot be read ({self.reason}); fix that"]
        found = []
        for number, gpu in enumerate(self.gpus):
            if gpu.ecc is False:
                found.append(
                    f"GPU {number} ({gpu.name}) has ECC off; switch it on with "
                    f"`sudo nvidia-smi -i {number} -e 1` and restart the machine"
                )
            elif gpu.ecc is None:
                found.append(
                    f"GPU {number} ({gpu.name}) has no ECC memory; take another GPU, or submit to "
                    "the open division"
                )
        return found


def detect_gpus() -> GpuReport:
    """Ask NVML. A machine without a GPU, a driver or the library has no GPUs, with the reason."""
    try:
        nvml: Any = importlib.import_module("pynvml")
    except ImportError:
        return _none("pynvml is not installed (pip install nvidia-ml-py)")
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return _none(f"NVML does not start ({error})")
    try:
        count = nvml.nvmlDeviceGetCount()
        gpus = tuple(_describe(nvml, nvml.nvmlDeviceGetHandleByIndex(i)) for i in range(count))
        return GpuReport(
            gpus=gpus,
            reason="NVML" if gpus else "NVML lists no GPU",
            driver=_text(nvml.nvmlSystemGetDriverVersion()),
            cuda=_cuda(nvml),
        )
    except nvml.NVMLError as error:
        return _none(f"NVML cannot describe the GPUs ({error})")
    finally:
        nvml.nvmlShutdown()


def _none(reason: str) -> GpuReport:
    return GpuReport(gpus=(), reason=reason, blind=_DRIVER.exists())


def _describe(nvml: Any, handle: Any) -> Gpu:
    def ask(name: str, *arguments: Any) -> Any:
        """None where this GPU, or an older library, has no such thing."""
        function: Callable[..., Any] | None = getattr(nvml, name, None)
        if function is None:
            return None
        try:
            return function(handle, *arguments)
        except nvml.NVMLError:
            return None

    ecc = ask("nvmlDeviceGetEccMode")  # [now, after the next restart]
    links = [ask("nvmlDeviceGetNvLinkState", link) for link in range(_MAX_NVLINKS)]
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory_bytes=int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
        ecc=None if ecc is None else bool(ecc[0]),
        sm_clock_mhz=ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_SM),
        memory_clock_mhz=ask("nvmlDeviceGetMaxClockInfo", nvml.NVML_CLOCK_MEM),
        memory_bus_bits=ask("nvmlDeviceGetMemoryBusWidth"),
        pcie_generation=ask("nvmlDeviceGetMaxPcieLinkGeneration"),
        pcie_lanes=ask("nvmlDeviceGetMaxPcieLinkWidth"),
        num_nvlinks=sum(bool(link) for link in links),
    )


def _cuda(nvml: Any) -> str | None:
    """The newest CUDA that the driver runs; NVML gives 12040 for 12.4."""
    try:
        version = int(nvml.nvmlSystemGetCudaDriverVersion())
    except nvml.NVMLError:
        return None
    return f"{version // 1000}.{version % 1000 // 10}"


def _text(value: str | bytes) -> str:
    """nvidia-ml-py before version 11.5 returned bytes."""
    return value.decode() if isinstance(value, bytes) else value
