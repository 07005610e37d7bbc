"""`engine.json` and the files it vouches for: written last, checked whenever it is read.

The manifest is what makes a folder an engine. Its key is the sha256 of its identity and its `seal`
that of all its fields, so what was edited is noticed; its `files` give the size and the sha256 of
everything that the build wrote.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path, PurePath
from typing import Any

from build_engine.digest import hash_file
from build_engine.errors import EngineError

SCHEMA_VERSION = 4
MANIFEST_NAME = "engine.json"

# Every field that an engine is asked for later, so that the answer is checked once, here.
_REQUIRED: tuple[tuple[str, type], ...] = (
    ("key", str),
    ("seal", str),
    ("identity.recipe.name", str),
    ("identity.target.name", str),
    ("identity.target.kind", str),
    ("identity.target.compute", str),
    ("identity.limits", dict),
    ("identity.backend", dict),
    ("model.name", str),
    ("model.source", str),
    ("model.weights", dict),
    ("model.vocab_size", int),
    ("model.eos_token_ids", list),
    ("model.max_position_embeddings", int),
    ("runtime", dict),
    ("files", dict),
    ("build", dict),
    ("precision", dict),
    ("weights", dict),
)


def content_key(identity: Mapping[str, Any]) -> str:
    """sha256 in hex of the canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """The checked manifest of an engine folder; the other files are not looked at.

    Raises EngineError when it is missing, broken, altered, or of another schema.
    """
    try:
        text = (folder / MANIFEST_NAME).read_bytes()
        manifest = json.loads(text, parse_constant=_refuse_constant)
    except (FileNotFoundError, NotADirectoryError):
        raise EngineError(
            f"`{folder}` is not an engine: it has no {MANIFEST_NAME}; `enginebench engines list`"
            " shows the engines."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise broken_manifest(folder, f"cannot be read ({error})") from None
    if not isinstance(manifest, dict):
        raise broken_manifest(folder, "is not a JSON object")
    schema = manifest.get("schema_version")
    if not isinstance(schema, int):
        raise broken_manifest(folder, "has no schema_version")
    if schema > SCHEMA_VERSION:
        raise EngineError(
            f"`{folder}` was built by a newer enginebench (schema_version {schema}, this one"
            f" reads {SCHEMA_VERSION}); update enginebench, or build the engine again with this"
            " one."
        )
    if schema < SCHEMA_VERSION:
        raise EngineError(
            f"`{folder}` was built by an older enginebench (schema_version {schema}, this one"
            f" reads {SCHEMA_VERSION}); delete that folder and build the engine again."
        )
    _check_fields(folder, manifest)
    return manifest


def broken_manifest(folder: Path, problem: str) -> EngineError:
    """The error for a manifest that cannot be used; `problem` continues "engine.json of <folder>
    …".
    """
    return EngineError(
        f"{MANIFEST_NAME} of `{folder}` {problem}; delete that folder and build the engine again."
    )


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `engine.json` with its seal and wait until it and the folder's entries are on the
    disk.
    """
    path = folder / MANIFEST_NAME
    sealed = {**manifest, "seal": content_key(manifest)}
    path.write_text(json.dumps(sealed, indent=2), encoding="utf-8")
    sync(path)
    sync(folder)


def build_record(started: datetime, phases: Mapping[str, float]) -> dict[str, Any]:
    """When, where, with what and how long an engine was built; `phases` are seconds by name."""
    try:
        tool_version = metadata.version("enginebench")
    except metadata.PackageNotFoundError:
        tool_version = "source tree"
    return {
        "started_utc": started.isoformat(timespec="seconds"),
        "duration_s": (datetime.now(timezone.utc) - started).total_seconds(),
        "phases": dict(phases),
        "host": platform.node(),
        "tool_version": tool_version,
    }


def seal_files(folder: Path) -> dict[str, dict[str, Any]]:
    """`{relative path: {bytes, sha256}}` of every file below `folder`, each safely on the disk.

    A builder that wrote nothing, or a link that could lose its target, is our own mistake:
    AssertionError.
    """
    paths = files_below(folder)
    assert paths, "the builder wrote no file"
    entries = {}
    for path in paths:
        assert not path.is_symlink(), f"the builder left a link: {path}"
        sync(path)
        entries[path.relative_to(folder).as_posix()] = {
            "bytes": path.stat().st_size,
            "sha256": hash_file(path),
        }
    return entries


def file_problems(
    folder: Path, files: Mapping[str, Any], sha256: Callable[[Path], str]
) -> dict[str, str]:
    """`{name: sentence}` of the missing, truncated and altered files, by the digests that `sha256`
    gives.
    """
    problems = {}
    for name, entry in files.items():
        path = folder / name
        if path.is_symlink():
            problems[name] = f"{name} is a link, not the file that was built."
        elif not path.is_file():
            problems[name] = f"{name} is missing."
        elif (size := path.stat().st_size) != entry["bytes"]:
            problems[name] = f"{name} has {size} bytes instead of {entry['bytes']}."
        else:
            try:
                if sha256(path) != entry["sha256"]:
                    problems[name] = f"{name} was altered: its checksum differs."
            except OSError as error:
                problems[name] = f"{name} cannot be read: {error.strerror}."
    return problems


def content_problems(folder: Path, files: Mapping[str, Any]) -> list[str]:
    """One sentence per missing, truncated, altered or extra file; reads every byte."""
    problems = file_problems(folder, files, hash_file)
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if name not in files and name != MANIFEST_NAME:
            problems[name] = f"{name} is extra: the build did not write it."
    return [problems[name] for name in sorted(problems)]


def files_below(folder: Path) -> list[Path]:
    """Everything below `folder` that is no folder, sorted; a link is listed, never followed."""
    return sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())


def sync(path: Path) -> None:
    """Wait until a file or folder is on the disk; late write errors (full disk, quota) surface
    here.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_constant(name: str) -> None:
    """NaN and the infinities: Python would read them, and no canonical JSON can hold them."""
    raise ValueError(f"{name} is not JSON")


def _check_fields(folder: Path, manifest: dict[str, Any]) -> None:
    for dotted, kind in _REQUIRED:
        if not isinstance(_lookup(manifest, dotted), kind):
            raise broken_manifest(folder, f"has no usable `{dotted}`")
    if content_key(manifest["identity"]) != manifest["key"]:
        raise broken_manifest(folder, "was altered: its key does not match its identity")
    unsealed = {field: value for field, value in manifest.items() if field != "seal"}
    if content_key(unsealed) != manifest["seal"]:
        raise broken_manifest(folder, "was altered: its seal does not match its fields")
    for name, entry in manifest["files"].items():
        size, checksum = _lookup(entry, "bytes"), _lookup(entry, "sha256")
        path = PurePath(name)
        inside = not path.is_absolute() and ".." not in path.parts
        if not (isinstance(size, int) and isinstance(checksum, str) and inside):
            raise broken_manifest(folder, f"has no usable `files` entry for `{name}`")


def _lookup(values: object, dotted: str) -> object:
    """The value at a dotted path, None when there is none."""
    for part in dotted.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values
