"""The NVIDIA GPUs of this machine, as the driver describes them through NVML.

What a GPU does not report is None; nothing is filled in from a table of models.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engine.nvml import NoNvml, Nvml, open_nvml

_DRIVER = Path("/proc/driver/nvidia/version")
_MAX_NVLINKS = 18  # of any GPU, NVML's NVML_NVLINK_MAX_LINKS


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """One GPU. `ecc` is None where its memory has none; clocks are the highest that it reaches."""

    name: str
    memory_bytes: int | None
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
        with open_nvml() as nvml:
            gpus = tuple(_describe(nvml, gpu) for gpu in nvml.gpus())
            reason = "NVML" if gpus else "NVML lists no GPU"
            return GpuReport(gpus=gpus, reason=reason, driver=nvml.driver, cuda=nvml.cuda)
    except NoNvml as error:
        reason = f"{error} ({error.remedy})" if error.remedy else str(error)
        return GpuReport(gpus=(), reason=reason, blind=_DRIVER.exists())


def _describe(nvml: Nvml, gpu: Any) -> Gpu:
    ecc = nvml.ask("nvmlDeviceGetEccMode", gpu)  # [now, after the next restart]
    links = [nvml.ask("nvmlDeviceGetNvLinkState", gpu, link) for link in range(_MAX_NVLINKS)]
    most = "nvmlDeviceGetMaxClockInfo"
    return Gpu(
        name=nvml.name(gpu),
        memory_bytes=nvml.memory(gpu).total_bytes,
        ecc=None if ecc is None else bool(ecc[0]),
        sm_clock_mhz=nvml.ask(most, gpu, nvml.constant("NVML_CLOCK_SM")),
        memory_clock_mhz=nvml.ask(most, gpu, nvml.constant("NVML_CLOCK_MEM")),
        memory_bus_bits=nvml.ask("nvmlDeviceGetMemoryBusWidth", gpu),
        pcie_generation=nvml.ask("nvmlDeviceGetMaxPcieLinkGeneration", gpu),
        pcie_lanes=nvml.ask("nvmlDeviceGetMaxPcieLinkWidth", gpu),
        num_nvlinks=sum(bool(link) for link in links),
    )
