"""What tells a machine and its GPUs from all others, under whatever address a cluster knows them.

A machine under two addresses is one, and so are its GPUs. A kernel has a boot id, which all
containers on it share; they have names of their own, and may each have another GPU as their first,
or a part of the processors.
"""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path

from build_engine.errors import EnvironmentFault
from build_engine.files import read_text
from build_engine.gpu import visible_gpus

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UUIDS = ("GPU-", "MIG-")


def machine(boot_id: Path = _BOOT_ID) -> str:
    """This machine, or this container of it."""
    try:
        booted = read_text(boot_id).strip()
    except OSError:
        booted = ""
    return f"{platform.node()} {booted}".rstrip()


def cards(gpus: Sequence[str]) -> tuple[str, ...]:
    """The GPUs that this process has been given, which Ray calls `gpus`: by their UUIDs, or by
    where they are where nothing tells these.
    """
    if not gpus:
        return ()
    try:
        uuids = [gpu.uuid for gpu in visible_gpus()]
    except EnvironmentFault:
        uuids = []
    known = [uuid for uuid in uuids if uuid is not None]
    if len(known) == len(gpus):
        return tuple(known)
    return tuple(gpu if gpu.startswith(_UUIDS) else f"{gpu} of {machine()}" for gpu in gpus)
