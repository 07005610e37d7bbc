"""What machine this is: the facts a result is worth nothing without, each found on the machine
itself.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

import psutil
from pydantic import NonNegativeFloat, PositiveInt

from build_engine.backend import backends
from build_engine.libraries import installed_version
from build_engine.validation import Frozen

_LIBRARIES = ("enginebench", "mlcommons-loadgen", "numpy", "tokenizers", "rouge-score-rs")


class MachineFacts(Frozen):
    """The machine of a result. `num_cpus` are those that this process may use; `memory_gib` is
    what the kernel manages, None where it does not tell.
    """

    host: str
    cpu: str
    num_cpus: PositiveInt
    memory_gib: NonNegativeFloat | None
    operating_system: str
    kernel: str
    python: str

    def __str__(self) -> str:
        memory = f"{self.memory_gib} GiB" if self.memory_gib is not None else "unknown memory"
        return (
            f"{self.cpu}, {self.num_cpus} CPUs, {memory}, {self.operating_system}, "
            f"Python {self.python}"
        )


def machine_facts() -> MachineFacts:
    """CPU, memory, operating system and Python of this machine."""
    return MachineFacts(
        host=platform.node(),
        cpu=_cpu_model() or platform.machine(),
        num_cpus=len(os.sched_getaffinity(0)),
        memory_gib=_memory_gib(),
        operating_system=_operating_system() or platform.platform(),
        kernel=platform.release(),
        python=platform.python_version(),
    )


def library_versions() -> dict[str, str | None]:
    """Installed version of each library that has a part in a result, those of every backend
    included; None where it is missing.
    """
    names = [*_LIBRARIES]
    for backend in backends().values():
        names += [*backend.build_libraries, *backend.load_libraries]
    return {name: installed_version(name) for name in names}


def _cpu_model() -> str | None:
    """The model's name, which psutil does not give; an ARM kernel has none."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    found = re.search(r"^model name\s*:\s*(.*\S)", text, re.MULTILINE)
    return found.group(1) if found else None


def _memory_gib() -> float | None:
    try:
        return round(psutil.virtual_memory().total / 2**30, 1)
    except (OSError, ValueError, RuntimeError):  # a /proc that is hidden, or cut down
        return None


def _operating_system() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return None
