"""The environment of LoadGen's process, which works in another folder than we do."""

from __future__ import annotations

import os


def child_environment() -> dict[str, str]:
    """Ours, with a PYTHONPATH that means the same in another working directory."""
    paths = os.environ.get("PYTHONPATH")
    if not paths:
        return dict(os.environ)
    absolute = os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))
    return {**os.environ, "PYTHONPATH": absolute}
