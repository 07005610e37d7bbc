"""Processors, memory, disks and network cards of this machine, from /proc and /sys of Linux.

What the kernel does not tell (and a container often hides) is None or empty: a person knows it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_SECTOR_BYTES = 512  # the unit of /sys/block/*/size, whatever the disk's own sector is
_NOT_DISKS = re.compile(r"(loop|ram|zram|dm-|md|sr|fd|nbd)")


@dataclass(frozen=True, slots=True)
class Disk:
    """One disk: `kind` is "NVMe SSD", "SSD", "HDD" or "virtual disk"."""

    name: str
    num_bytes: int
    kind: str


@dataclass(frozen=True, slots=True)
class NetworkPort:
    """One port of a network card; `card` is the same for the ports of one card."""

    name: str
    card: str
    driver: str
    speed_mbit_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hardware:
    """What the kernel knows of the machine. `caches` are those of one core, with shared ones."""

    num_sockets: int | None
    cores_per_socket: int | None
    max_mhz: float | None
    caches: tuple[str, ...]
    disks: tuple[Disk, ...]
    ports: tuple[NetworkPort, ...]


def read_hardware(root: Path = Path("/")) -> Hardware:
    """The hardware as it is told below `root`, which is "/" but in tests."""
    cpus = root / "sys/devices/system/cpu"
    cores = {
        (_read(folder / "physical_package_id"), _read(folder / "core_id"))
        for folder in cpus.glob("cpu[0-9]*/topology")
    }
    sockets = {socket for socket, _ in cores}
    khz = _read(cpus / "cpu0/cpufreq/cpuinfo_max_freq")
    return Hardware(
        num_sockets=len(sockets) or None,
        cores_per_socket=len(cores) // len(sockets) if sockets else None,
        max_mhz=int(khz) / 1000 if khz.isdigit() else None,
        caches=_caches(cpus / "cpu0/cache"),
        disks=_disks(root / "sys/block"),
        ports=_ports(root / "sys/class/net"),
    )


def _caches(folder: Path) -> tuple[str, ...]:
    """For example "L1d 48K", "L1i 32K", "L2 2048K", "L3 107520K"."""
    letters = {"Data": "d", "Instruction": "i", "Unified": ""}
    return tuple(
        f"L{_read(index / 'level')}{letters.get(_read(index / 'type'), '')} {_read(index / 'size')}"
        for index in sorted(folder.glob("index[0-9]*"))
    )


def _disks(folder: Path) -> tuple[Disk, ...]:
    found = []
    for block in sorted(folder.glob("*")):
        sectors = _read(block / "size")
        if _NOT_DISKS.match(block.name) or not sectors.isdigit() or int(sectors) == 0:
            continue
        if block.name.startswith("nvme"):
            kind = "NVMe SSD"
        elif block.name.startswith(("vd", "xvd")):
            kind = "virtual disk"
        else:
            kind = "HDD" if _read(block / "queue/rotational") == "1" else "SSD"
        found.append(Disk(block.name, int(sectors) * _SECTOR_BYTES, kind))
    return tuple(found)


def _ports(folder: Path) -> tuple[NetworkPort, ...]:
    """The ports that belong to a device: bridges, tunnels and a container's own end do not."""
    found = []
    for port in sorted(folder.glob("*")):
        device = port / "device"
        if not device.exists():
            continue
        speed = _read(port / "speed")  # -1, or not readable, while the port is down
        driver = device / "driver"
        found.append(
            NetworkPort(
                name=port.name,
                card=device.resolve().name.partition(".")[0],  # a card's ports are its functions
                driver=driver.resolve().name if driver.exists() else "",
                speed_mbit_s=int(speed) if speed.isdigit() and int(speed) > 0 else None,
            )
        )
    return tuple(found)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
