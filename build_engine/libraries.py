"""Which libraries are installed, in which version, and why one cannot be imported."""

from __future__ import annotations

import importlib.util
from importlib import metadata

from build_engine.errors import EnvironmentFault, MissingLibrary


def installed_version(library: str) -> str | None:
    """The installed version of a distribution, None when it is not installed."""
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C ended an import: a module written in C++ makes an ImportError of it."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def import_fault(error: ImportError, module: str) -> str | None:
    """Why `module`, which is installed, cannot be imported; None where it is not installed.

    Raises KeyboardInterrupt where Ctrl-C ended the import.
    """
    if was_interrupted(error):
        raise KeyboardInterrupt from error
    if importlib.util.find_spec(module) is None:
        return None
    return str(error)


def library_fault(error: ImportError, library: str, extra: str) -> EnvironmentFault:
    """What to say of a library of an extra that cannot be imported. Raises KeyboardInterrupt."""
    reason = import_fault(error, library)
    if reason is None:
        return MissingLibrary(library, extra)
    version = installed_version(library)
    same = f"{library}=={version}" if version else library
    return EnvironmentFault(
        f"`{library}` is installed and cannot be imported ({reason}); install it again with: "
        f"pip install --force-reinstall --no-deps {same}"
    )
