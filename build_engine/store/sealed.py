"""The manifest of a stored folder: written last, and checked whenever it is read.

It is what makes a folder count. Its key is the sha256 of its identity and its `seal` that of all
its fields, so what was edited is noticed; its `files` give the size and the sha256 of everything
that was written beside it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any, TypeVar

from pydantic import Field, NonNegativeFloat, field_validator

from build_engine.digest import file_sha256
from build_engine.errors import EngineError
from build_engine.files import write_json
from build_engine.records import Record, read_record
from build_engine.store.contents import FileEntry, file_problems
from build_engine.validation import Frozen, Sha256


class Identity(Frozen):
    """The content of a key: equal identities are one thing."""

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON, 64 hex digits."""
        return content_key(self.model_dump(mode="json"))


class BuildRecord(Frozen):
    """When, where, with what and how long it was made; `phases` are seconds by name."""

    started_utc: str
    duration_s: NonNegativeFloat
    phases: dict[str, NonNegativeFloat]
    host: str
    tool_version: str


class Manifest(Record):
    """What every such manifest says."""

    key: Sha256
    identity: Identity
    files: dict[str, FileEntry]
    build: BuildRecord
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            path = PurePath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"`{name}` lies outside of its folder.")
        return files

    @property
    def size_bytes(self) -> int:
        """Bytes of its files, without itself."""
        return sum(entry.bytes for entry in self.files.values())

    def seal_of_fields(self) -> str:
        """The sha256 that `seal` must be."""
        return content_key(self.model_dump(mode="json", exclude={"seal"}))


M = TypeVar("M", bound=Manifest)


def read_sealed(path: Path, model: type[M], remedy: str) -> M:
    """The checked manifest in `path`; the other files are not looked at.

    Raises EngineError when it is broken, altered, or of another schema, FileNotFoundError for none.
    """
    manifest = read_record(path, model, EngineError, remedy)
    if manifest.identity.key != manifest.key:
        raise EngineError(f"{path} was altered: its key does not match its identity; {remedy}.")
    if manifest.seal_of_fields() != manifest.seal:
        raise EngineError(f"{path} was altered: its seal does not match its fields; {remedy}.")
    return manifest


def write_sealed(path: Path, manifest: Manifest) -> None:
    """Write a manifest with its seal and wait until it and the folder's entries are on the disk."""
    sealed = manifest.model_copy(update={"seal": manifest.seal_of_fields()})
    write_json(path, sealed.to_json(), durable=True)


def require_sound(folder: Path, files: Mapping[str, FileEntry], again: str) -> None:
    """Raise EngineError, which ends with how to get it `again`, unless each file is there as it was
    written, by digests that are remembered until a file changes.
    """
    if problems := file_problems(folder, files, file_sha256):
        raise EngineError(f"`{folder}` is damaged: {' '.join(problems.values())} {again}")


def content_key(content: Any) -> str:
    """sha256 in hex of the canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
