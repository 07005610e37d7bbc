"""What installed packages bring to a registry of ours, and code by its dotted path."""

from __future__ import annotations

import importlib
from importlib import metadata
from typing import Any


def brought(group: str) -> dict[str, Any]:
    """The objects behind the entry points of `group`, by name."""
    return {point.name: point.load() for point in metadata.entry_points(group=group)}


def load_object(path: str) -> Any:
    """The object that `module:name` names."""
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
