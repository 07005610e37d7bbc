"""What installed packages bring to a registry of ours, and code by its dotted path."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any

from build_engine.errors import EnvironmentFault
from build_engine.libraries import was_interrupted


def brought_names(group: str) -> set[str]:
    """The names of the entry points of `group`; none of them is loaded."""
    return set(metadata.entry_points(group=group).names)


def brought(group: str, name: str) -> Any:
    """The object behind an entry point that is there. Raises EnvironmentFault when its package
    cannot be loaded.
    """
    (point, *_) = metadata.entry_points(group=group, name=name)
    try:
        return point.load()
    except (ImportError, AttributeError) as error:
        if was_interrupted(error):
            raise KeyboardInterrupt from error
        raise EnvironmentFault(
            f"`{point.value}`, which is installed as `{name}` of {group}, cannot be loaded "
            f"({error}); update that package, or uninstall it."
        ) from error


def load_object(path: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
