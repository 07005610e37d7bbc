"""Configuration files: strict YAML beside the packages, turned into frozen models.

Nothing is guessed: an unknown or repeated key, a value of another type and broken YAML each raise
ConfigError, which names the file, the dotted key (or the line), and what would be valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import configs
from build_engine.errors import ConfigError, UnknownName
from build_engine.files import Unreadable, parse_yaml, read_yaml
from build_engine.validation import Frozen, Invalid, Name, Text, validated

__all__ = ["KINDS", "Frozen", "Name", "Text", "apply_overrides", "config_names", "load_config"]

KINDS = {
    "targets": "target",
    "recipes": "recipe",
    "workloads": "workload",
    "rounds": "round",
    "models": "model",
    "published": "published results",
}

_ESCAPED = {"n": "\n", "t": "\t", "\\": "\\"}

M = TypeVar("M", bound=Frozen)


def config_names(kind: str) -> list[str]:
    """Names of the shipped configurations of `kind`, one of `KINDS`."""
    return sorted(path.stem for path in _folder(kind).glob("*.yaml"))


def load_config(
    kind: str,
    name_or_path: str,
    model: type[M],
    resolved: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
) -> M:
    """Read a shipped configuration by name, or any file by a path that ends in .yaml or .yml.

    `resolved` adds what a file leaves to others, before it is checked. Raises UnknownName for a
    name that is not shipped, ConfigError for a file that cannot be read or does not fit `model`.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
    elif name_or_path in config_names(kind):
        path = _folder(kind) / f"{name_or_path}.yaml"
    else:
        raise UnknownName(KINDS[kind], name_or_path, config_names(kind))
    try:
        data = read_yaml(path, ConfigError, "fix the file")
    except FileNotFoundError:
        raise ConfigError(f"{path} cannot be read (no such file); check the path.") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: the file must hold `key: value` lines.")
    return _validate(model, resolved(data) if resolved else data, str(path))


def apply_overrides(model: M, assignments: Sequence[str]) -> M:
    """A copy of `model` with `a.b=c` assignments applied.

    A value is parsed as YAML, but for that of a field of text, which is taken as it stands: with
    \\n as a new line, \\t as a tab, and in quotes as YAML has it. Lists are replaced as a whole.
    Raises ConfigError, as a file with the same content would.
    """
    data = model.model_dump(mode="json")
    for assignment in assignments:
        _assign(type(model), data, assignment)
    return _validate(type(model), data, "--set")


def _folder(kind: str) -> Path:
    assert kind in KINDS, kind
    return Path(configs.__file__).parent / kind


def _assign(model: type[Frozen], data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {assignment}: write it as key=value, or section.key=value.")
    *path, last = key.split(".")
    section = data
    for depth, part in enumerate(path, start=1):
        if section.get(part) is None:
            section[part] = {}  # an empty optional section, or a key that validation will name
        if not isinstance(section[part], dict):
            dotted = ".".join(path[:depth])
            raise ConfigError(f"--set {assignment}: `{dotted}` is one value; set it as a whole.")
        section = section[part]
    if _is_text(model, key.split(".")) and not text.startswith(("'", '"')):
        section[last] = re.sub(r"\\([nt\\])", lambda found: _ESCAPED[found.group(1)], text)
        return
    try:
        section[last] = parse_yaml(text)
    except Unreadable as problem:
        raise ConfigError(f"--set {assignment}: the value {problem}.") from None


def _is_text(model: type[Frozen], path: Sequence[str]) -> bool:
    """Whether the field at `path` below `model` holds text and nothing else."""
    kind: Any = model
    for name in path:
        fields = kind.model_fields if isinstance(kind, type) and issubclass(kind, Frozen) else {}
        if name not in fields:
            return False
        kind = fields[name].annotation
    return kind is str


def _validate(model: type[M], data: dict[str, Any], origin: str) -> M:
    try:
        return validated(model, data, missing="is missing; add it")
    except Invalid as problem:
        raise ConfigError(f"{origin}: {problem}") from None
