"""Hold the Python packages of a base image as they are, while others are installed on top.

`hold [NAME==VERSION...]`, run by the base's own Python, prints a constraint for pip for each
package that it has, and the given ones for those that it lacks. `compare FILE`, run in the
environment on top, ends with code 1 and names every package of FILE that has another version there,
or none.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path

from packaging.version import InvalidVersion, Version


def installed() -> dict[str, str]:
    """Versions by normalised name; the first on the path counts, as it does for an import. Without
    those that pip cannot compare: remains that have no name, and versions like `0.23ubuntu1`.
    """
    found: dict[str, str] = {}
    for package in metadata.distributions():
        if not (package.metadata and package.metadata["Name"]):
            continue
        try:
            Version(package.version)
        except InvalidVersion:
            continue
        found.setdefault(_normalised(package.metadata["Name"]), package.version)
    return found


def hold(missing: list[str]) -> list[str]:
    """Constraints, sorted."""
    given = dict(line.split("==") for line in missing)
    held = {_normalised(name): version for name, version in given.items()} | installed()
    return sorted(f"{name}=={version}" for name, version in held.items())


def changed(held: list[str]) -> list[str]:
    """What is no longer as it was held."""
    now = {f"{name}=={version}" for name, version in installed().items()}
    return [line for line in held if line not in now]


def _normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        sys.stdout.write("".join(f"{line}\n" for line in hold(sys.argv[2:])))
    elif broken := changed(Path(sys.argv[2]).read_text(encoding="utf-8").split()):
        sys.exit(f"The base image's packages were changed: {', '.join(broken)}.")
