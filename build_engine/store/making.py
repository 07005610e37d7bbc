"""How long the making of a folder took, and what it wrote."""

from __future__ import annotations

import platform
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from build_engine.libraries import installed_version
from build_engine.progress import BuildProgress, PhaseTimer
from build_engine.store.contents import FileEntry, seal_files
from build_engine.store.sealed import BuildRecord

T = TypeVar("T")


def made(
    make: Callable[[BuildProgress], T], folder: Path, progress: BuildProgress
) -> tuple[T, dict[str, FileEntry], BuildRecord]:
    """What `make(progress)` returns, an entry for every file that it left in `folder`, and the
    record of it.
    """
    timer, started = PhaseTimer(progress), datetime.now(timezone.utc)
    done = make(timer)
    timer.phase("checksums")
    files = seal_files(folder)
    record = BuildRecord(
        started_utc=started.isoformat(timespec="seconds"),
        phases=timer.seconds(),
        duration_s=(datetime.now(timezone.utc) - started).total_seconds(),
        host=platform.node(),
        tool_version=installed_version("enginebench") or "source tree",
    )
    return done, files, record
