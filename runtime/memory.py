"""How much memory a process may still take."""

from __future__ import annotations

from pathlib import Path


def available_bytes(root: Path = Path("/")) -> int:
    """What the machine has free, or the control group (a container's limit) if that is less.

    A group's headroom counts file pages that it could drop as free. `root` holds proc and sys.
    """
    machine = _fields(root / "proc/meminfo")["MemAvailable:"] * 1024
    group = root / "sys/fs/cgroup"
    try:
        limit = int((group / "memory.max").read_text(encoding="ascii"))
        used = int((group / "memory.current").read_text(encoding="ascii"))
        droppable = _fields(group / "memory.stat")["inactive_file"]
    except (OSError, ValueError):  # no group, or one without a limit ("max")
        return machine
    return min(machine, max(0, limit - used + droppable))


def _fields(path: Path) -> dict[str, int]:
    """The first number of each line, by the word before it."""
    words = (line.split() for line in path.read_text(encoding="ascii").splitlines())
    return {name: int(value) for name, value, *_ in words}
