"""Whether a disk has room, asked before it is filled."""

from __future__ import annotations

import shutil
from pathlib import Path

from build_engine.errors import EnvironmentFault
from build_engine.progress import size_text


def require_disk(folder: Path, num_bytes: int, what: str) -> None:
    """Return where the disk of the existing `folder` has so much free. Raises EnvironmentFault that
    says how much is missing; `what` needs it.
    """
    free = shutil.disk_usage(folder).free
    if free < num_bytes:
        raise EnvironmentFault(
            f"{size_text(free)} of disk is free for {folder}, and {what} about "
            f"{size_text(num_bytes)}, {size_text(num_bytes - free)} more; free some, or point "
            "ENGINEBENCH_HOME at another disk."
        )
