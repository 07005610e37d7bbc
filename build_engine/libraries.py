"""Which libraries are installed, and in which version."""

from __future__ import annotations

from importlib import metadata


def installed_version(library: str) -> str | None:
    """The installed version of a distribution, None when it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
