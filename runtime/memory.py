"""How much memory a process may still take."""

from __future__ import annotations

from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")


def available_bytes(group: Path = _CGROUP) -> int:
    """What the machine has free, or the control group (a container's limit) if that is less.

    A group's headroom counts file pages that it could drop as free.
    """
    machine = int(psutil.virtual_memory().available)
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        droppable = _droppable_bytes(group / "memory.stat")
    except (OSError, ValueError):  # no group, or one without a limit ("max")
        return machine
    return min(machine, max(0, limit - used + droppable))


def _droppable_bytes(stat: Path) -> int:
    """Pages of files that were not read of late; 0 where the group does not say."""
    for line in stat.read_text(encoding="ascii").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0
