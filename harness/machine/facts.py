"""What machine this is: the facts a result is worth nothing without, each found on the machine
itself.
"""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

from build_engine.libraries import installed_version

_LIBRARIES = (
    "enginebench",
    "mlcommons-loadgen",
    "numpy",
    "openvino",
    "openvino-genai",
    "nncf",
    "tokenizers",
    "rouge-score-rs",
)


def machine_facts() -> dict[str, Any]:
    """CPU, memory, operating system and Python of this machine."""
    cpuinfo = _read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.+)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB$", _read("/proc/meminfo"), re.MULTILINE)
    release = re.search(r'^PRETTY_NAME="?([^"\n]+)', _read("/etc/os-release"), re.MULTILINE)
    return {
        "host": platform.node(),
        "cpu": model.group(1).strip() if model else platform.machine(),
        "num_cpus": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(memory.group(1)) / 2**20, 1) if memory else None,
        "operating_system": release.group(1) if release else platform.platform(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def library_versions() -> dict[str, str | None]:
    """Installed version of each library that has a part in a result; None where it is missing."""
    return {name: installed_version(name) for name in _LIBRARIES}


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
