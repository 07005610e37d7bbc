"""Names of what is being written: each says which process of which machine writes it, so that what
a killed one left can be told apart and removed.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import socket
from pathlib import Path

_MARK = re.compile(r"-([0-9a-f]{6})-([0-9]+)-")


def mark() -> str:
    """A part of a name that says whose it is, between dashes."""
    return f"-{_machine()}-{os.getpid()}-"


def sweep(folder: Path, prefix: str) -> None:
    """Remove the files and folders in `folder` whose names begin with `prefix` and bear the mark of
    a process of this machine that is gone.
    """
    with contextlib.suppress(OSError):
        with os.scandir(folder) as entries:
            found = [Path(entry.path) for entry in entries if entry.name.startswith(prefix)]
        for path in found:
            if _is_left(path.name.removeprefix(prefix)):
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _machine() -> str:
    return hashlib.sha256(os.fsencode(socket.gethostname())).hexdigest()[:6]


def _is_left(rest: str) -> bool:
    found = _MARK.match(rest)
    if found is None or found[1] != _machine():
        return False
    try:
        os.kill(int(found[2]), 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):  # another user's, and no process's number
        return False
    return False
