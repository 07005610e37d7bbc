"""How much memory a process may still take, and whether that is enough."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from build_engine.errors import EnvironmentFault
from build_engine.progress import size_text

_CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class _Group:
    """The files of a control group that say its limit, what it uses, and which of that it could
    drop: pages of files that were not read of late.
    """

    limit: str
    used: str
    stat: str
    droppable: str


# man 7 cgroups: version 2, and the memory controller of version 1
_GROUPS = (
    _Group("memory.max", "memory.current", "memory.stat", "inactive_file"),
    _Group(
        "memory/memory.limit_in_bytes",
        "memory/memory.usage_in_bytes",
        "memory/memory.stat",
        "total_inactive_file",
    ),
)


def available_bytes(group: Path = _CGROUP) -> int:
    """What the machine has free, or the control group (a container's limit) if that is less.

    A group's headroom counts file pages that it could drop as free.
    """
    import psutil

    return min((int(psutil.virtual_memory().available), *_headroom(group)))


def require_free(num_bytes: int, what: str, otherwise: str) -> None:
    """Return where so much host memory is free. Raises EnvironmentFault that says how much is
    missing; `what` needs it, and `otherwise` is what else the user may do.
    """
    free = available_bytes()
    if free < num_bytes:
        raise EnvironmentFault(
            f"{size_text(free)} of host memory is free here, and {what} about "
            f"{size_text(num_bytes)}, {size_text(num_bytes - free)} more; end other programs, "
            f"raise the container's limit, or {otherwise}."
        )


def _headroom(folder: Path) -> Iterator[int]:
    """That of the group, where there is one with a limit."""
    for group in _GROUPS:
        try:
            limit = int((folder / group.limit).read_text(encoding="ascii"))
            used = int((folder / group.used).read_text(encoding="ascii"))
            droppable = _droppable_bytes(folder / group.stat, group.droppable)
        except (OSError, ValueError):  # no such group, or one without a limit ("max")
            continue
        yield max(0, limit - used + droppable)


def _droppable_bytes(stat: Path, name: str) -> int:
    """0 where the group does not say."""
    for line in stat.read_text(encoding="ascii").splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return 0
