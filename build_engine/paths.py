"""Paths as users write them, and where this project keeps its own files."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from build_engine.errors import EnvironmentFault, UsageError

KEPT = (
    "checkpoints",
    "crashes",
    "datasets",
    "digests",
    "engines",
    "hub",
    "logs",
    "peaks",
    "quantised",
    "sources",
    "timings",
)
"""What lies in our cache: nothing else has a place in these folders."""


def user_path(text: str) -> Path:
    """A path with its `~` resolved; the `~name` of nobody is a file's own name."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):
        return path.expanduser()
    return path


def require_text(path: Path) -> Path:
    """The path. Raises UsageError for one that is no UTF-8 text, which no record could hold."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"{path} is not UTF-8 text, and what is recorded about it must be; rename that folder "
            "or file."
        ) from None
    return path


def cache_root() -> Path:
    """`$ENGINEBENCH_HOME`, or the user's cache folder (`~/.cache/enginebench`, or below
    `$XDG_CACHE_HOME`) when that is unset or empty; absolute, because processes with other working
    directories are told of it.

    Raises EnvironmentFault for a user without a home folder, UsageError for a path that is no text.
    """
    home = os.environ.get("ENGINEBENCH_HOME")
    if home:
        return require_text(user_path(home).absolute())
    from platformdirs import user_cache_path

    try:
        return require_text(user_cache_path("enginebench"))
    except RuntimeError:
        raise EnvironmentFault(
            "This user has no home folder; set ENGINEBENCH_HOME to a folder that can be written."
        ) from None
