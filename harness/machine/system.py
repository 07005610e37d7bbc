"""The description of a system as MLPerf wants it: flat JSON, filled from the machine where it can
be, and with a clear list of what a person must add.

The fields and which of them must not be empty are those of the submission checker's constants.py
(SYSTEM_DESC_REQUIRED_FIELDS and its _MEANINGFUL_RESPONSE_ list, round v6.1).
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from build_engine.backend import backends
from build_engine.target import load_target, target_names
from harness.machine.facts import MachineFacts, library_versions, machine_facts
from harness.machine.gpus import Gpu, GpuReport, detect_gpus
from harness.machine.hardware import Hardware, NetworkPort, read_hardware

PLACEHOLDER = "FILL IN: "
"""What a value that a person must replace begins with."""

# Each field in the order of the published files; the text says what a person writes there.
_BY_HAND = {
    "division": "closed, open or network",
    "submitter": "your organisation, as the folder of the submission is named",
    "status": "available, preview or rdi",
    "system_name": "the name of this system in the results table",
    "system_type": 'datacenter, edge or "datacenter,edge"',
    "number_of_nodes": "machines that work together",
    "host_processor_model_name": "the processor's name",
    "host_processors_per_node": "sockets",
    "host_processor_core_count": "cores of one processor",
    "host_memory_capacity": "installed memory, for example 512 GB",
    "host_memory_configuration": (
        "for example 16x 32GB DDR4-3200 (`sudo dmidecode -t memory` shows it)"
    ),
    "host_storage_capacity": "for example 2x 1.92 TB",
    "host_storage_type": "for example NVMe SSD",
    "host_networking": "for example 2x 25 Gb/s Ethernet, or N/A",
    "host_networking_topology": "for example N/A for one machine, or Ethernet on a single switch",
    "host_network_card_count": "for example 1, or N/A",
    "accelerators_per_node": "GPUs of this machine",
    "accelerator_model_name": "the GPU's name",
    "accelerator_memory_capacity": "for example 24 GB",
    "accelerator_host_interconnect": "for example PCIe Gen4 x16",
    "accelerator_memory_configuration": "for example HBM2",
    "accelerator_interconnect": "for example NVLink bridge, or N/A",
    "cooling": "air, liquid or passive",
    "framework": "for example TensorRT-LLM 1.2.1",
    "operating_system": "for example Ubuntu 24.04",
    "other_software_stack": "driver, CUDA, Python and other libraries with their versions",
}
_MAY_BE_EMPTY = (
    "host_processor_frequency",
    "host_processor_caches",
    "host_processor_interconnect",
    "accelerator_frequency",
    "accelerator_interconnect_topology",
    "accelerator_on-chip_memories",
    "hw_notes",
    "sw_notes",
    "system_type_detail",
)
_NO_GPU = "N/A"


@dataclass(frozen=True, slots=True)
class SystemDescription:
    """The fields of the system JSON, all of them, and what closed submissions do not allow.

    `notes` say what of a found value a person should look at.
    """

    fields: dict[str, str]
    closed_problems: tuple[str, ...]
    notes: tuple[str, ...]
    blind: bool
    """Whether the GPUs could not be asked, so that the problem may be none."""

    @property
    def to_fill(self) -> list[tuple[str, str]]:
        """(field, what to write) for each value that a person must give."""
        return [
            (name, value.removeprefix(PLACEHOLDER))
            for name, value in self.fields.items()
            if value.startswith(PLACEHOLDER)
        ]


def detect_system() -> SystemDescription:
    """Describe this machine."""
    return describe(read_hardware(), detect_gpus(), machine_facts(), library_versions())


def describe(
    hardware: Hardware,
    gpus: GpuReport,
    machine: MachineFacts,
    libraries: Mapping[str, str | None],
) -> SystemDescription:
    """The system JSON of a machine with these parts."""
    found = {
        "number_of_nodes": "1",
        **_processor(hardware, machine),
        **_storage_and_network(hardware),
        **_accelerator(gpus),
        **_software(gpus, machine, libraries),
    }
    fields = {name: found.get(name) or f"{PLACEHOLDER}{what}" for name, what in _BY_HAND.items()}
    fields |= {name: found.get(name, "") for name in _MAY_BE_EMPTY}
    notes = ["host_memory_capacity is what the kernel can use; write what is installed"]
    if not gpus.gpus:
        notes.append(f"{'unknown GPUs' if gpus.blind else 'no GPU'}: {gpus.reason}")
    return SystemDescription(fields, tuple(gpus.ecc_problems), tuple(notes), gpus.blind)


def _processor(hardware: Hardware, machine: MachineFacts) -> dict[str, str]:
    memory_gib, mhz = machine.memory_gib, hardware.max_mhz
    named = machine.cpu != platform.machine()
    return {
        "host_processor_model_name": machine.cpu if named else "",
        "host_processors_per_node": str(hardware.num_sockets or ""),
        "host_processor_core_count": str(hardware.cores_per_socket or ""),
        "host_processor_frequency": f"{mhz:,.0f} MHz maximum" if mhz else "",
        "host_processor_caches": ", ".join(hardware.caches),
        "host_memory_capacity": f"{memory_gib:g} GiB" if memory_gib else "",
    }


def _storage_and_network(hardware: Hardware) -> dict[str, str]:
    disks, ports = hardware.disks, hardware.ports
    return {
        "host_storage_capacity": _counted(_terabytes(disk.num_bytes) for disk in disks),
        "host_storage_type": _counted(disk.kind for disk in disks),
        "host_networking": _counted(_port(port) for port in ports),
        "host_network_card_count": str(len({port.card for port in ports}) or ""),
    }


def _accelerator(report: GpuReport) -> dict[str, str]:
    gpus = report.gpus
    if report.blind:
        return {}
    if not gpus:
        absent = ("model_name", "memory_capacity", "host_interconnect", "memory_configuration")
        fields = {f"accelerator_{name}": _NO_GPU for name in (*absent, "interconnect")}
        return {"accelerators_per_node": "0", **fields}
    return {
        "accelerators_per_node": str(len(gpus)),
        "accelerator_model_name": _names(gpu.name for gpu in gpus),
        "accelerator_memory_capacity": _names(
            f"{gpu.memory_bytes / 2**30:.0f} GiB" for gpu in gpus if gpu.memory_bytes
        ),
        "accelerator_memory_configuration": _names(map(_memory, gpus)),
        "accelerator_frequency": _names(
            f"{gpu.sm_clock_mhz} MHz maximum" for gpu in gpus if gpu.sm_clock_mhz
        ),
        "accelerator_host_interconnect": _names(
            f"PCIe Gen{gpu.pcie_generation} x{gpu.pcie_lanes}"
            for gpu in gpus
            if gpu.pcie_generation and gpu.pcie_lanes
        ),
        "accelerator_interconnect": _interconnect(gpus),
    }


def _software(
    gpus: GpuReport, machine: MachineFacts, libraries: Mapping[str, str | None]
) -> dict[str, str]:
    stack = [
        f"NVIDIA driver {gpus.driver}" if gpus.driver else "",
        f"CUDA {gpus.cuda}" if gpus.cuda else "",
        f"Python {machine.python}",
        *(f"{name} {version}" for name, version in libraries.items() if version),
    ]
    return {
        "framework": "" if gpus.blind else _framework(bool(gpus.gpus), libraries),
        "operating_system": f"{machine.operating_system}, Linux {machine.kernel}",
        "other_software_stack": ", ".join(part for part in stack if part),
    }


def _framework(has_gpus: bool, libraries: Mapping[str, str | None]) -> str:
    """What executes engines on this kind of machine, "" where that is not installed."""
    targets = map(load_target, target_names())
    serving = {target.backend for target in targets if (target.kind == "gpu") == has_gpus}
    for backend in backends().values():
        version = libraries.get(backend.framework_library)
        if backend.name in serving and version:
            return f"{backend.framework} {version}"
    return ""


def _memory(gpu: Gpu) -> str:
    parts = [
        f"{gpu.memory_bus_bits} bit" if gpu.memory_bus_bits else "",
        f"{gpu.memory_clock_mhz} MHz" if gpu.memory_clock_mhz else "",
        {True: "ECC on", False: "ECC off", None: "no ECC"}[gpu.ecc],
    ]
    return ", ".join(part for part in parts if part)


def _interconnect(gpus: tuple[Gpu, ...]) -> str:
    if len(gpus) == 1:
        return _NO_GPU
    links = min(gpu.num_nvlinks for gpu in gpus)
    return f"NVLink, {links} links per GPU" if links else "PCIe"


def _port(port: NetworkPort) -> str:
    speed = f"{port.speed_mbit_s / 1000:g} Gb/s" if port.speed_mbit_s else "unknown speed"
    return f"{speed} {port.driver}".strip()


def _terabytes(num_bytes: int) -> str:
    return f"{num_bytes / 1e12:.2f} TB" if num_bytes >= 1e12 else f"{num_bytes / 1e9:.0f} GB"


def _counted(texts: Iterable[str]) -> str:
    """Equal ones together: "2x 1.92 TB + 1x 480 GB"."""
    return " + ".join(f"{count}x {text}" for text, count in Counter(texts).items())


def _names(texts: Iterable[str]) -> str:
    return " + ".join(Counter(texts))
