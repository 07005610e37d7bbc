"""`engine.json`: what an engine is, written last and checked whenever it is read.

The manifest is what makes a folder an engine. Its key is the sha256 of its identity and its `seal`
that of all its fields, so what was edited is noticed; its `files` give the size and the sha256 of
everything that the build wrote.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path, PurePath
from typing import Any, ClassVar, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, field_validator

from build_engine.backend import backend
from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.errors import EngineError, UnknownName
from build_engine.files import write_json
from build_engine.recipe import RecipeRules
from build_engine.records import Record, read_record
from build_engine.store.limits import EngineLimits
from build_engine.validation import Frozen, Sha256, Text

MANIFEST_NAME = "engine.json"
_REMEDY = "delete that folder and build the engine again"


class BackendIdentity(Frozen):
    """Which backend, and the version of all that can change the engine: of our own builder and of
    each library.
    """

    name: Text
    builder: int
    libraries: dict[str, str]

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            return backend(name).name
        except UnknownName as error:
            raise ValueError(str(error)) from None


class TargetIdentity(Frozen):
    """Which target; `compute` is the arithmetic: bf16, f32, sm_80."""

    name: Text
    kind: Literal["cpu", "gpu"]
    sm: int | None
    compute: Text


class CalibrationIdentity(Frozen):
    """Which prompts a recipe was calibrated on; `official` is whether they are of a benchmark's own
    calibration set.
    """

    digest: Sha256
    official: bool


class EngineIdentity(Frozen):
    """The content of the key: equal identities are one engine. `profile` is what it is tuned for,
    None where its backend has no choice.

    Not in it: scenario, number of GPUs, where files lie.
    """

    schema_version: int
    checkpoint: Sha256
    recipe: RecipeRules
    calibration: CalibrationIdentity | None
    limits: EngineLimits
    profile: Text | None = None
    backend: BackendIdentity
    target: TargetIdentity

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON, 64 hex digits."""
        return content_key(self.model_dump(mode="json"))


class ModelRecord(Frozen):
    """The checkpoint: its name, what `enginebench build --model` takes for it, the SHA-256 in hex
    of each weight file by name, and its architecture.
    """

    name: Text
    source: Text
    weights: dict[str, Sha256]
    config: LlamaConfig


class CalibrationRecord(Frozen):
    """Where the calibration prompts came from: the set's name, the options of `enginebench build`
    that make it again, and how many prompts were looked at.
    """

    name: Text
    options: tuple[str, ...]
    num_prompts: NonNegativeInt


class Precision(Frozen):
    """What weights, activations and KV cache really are, in words, with a note where that is not
    what the recipe's name suggests.
    """

    weights: Text
    activations: Text
    kv_cache: Text
    note: str = ""


class WeightsRecord(Frozen):
    """The types of all stored weight matrices, and the weights that share a scale (None: one scale
    a channel, or none).
    """

    types: tuple[str, ...]
    group_size: int | None


class FileEntry(Frozen):
    """A file that the build wrote: its size and its SHA-256 in hex."""

    bytes: NonNegativeInt
    sha256: Sha256


class BuildRecord(Frozen):
    """When, where, with what and how long an engine was built; `phases` are seconds by name."""

    started_utc: str
    duration_s: NonNegativeFloat
    phases: dict[str, NonNegativeFloat]
    host: str
    tool_version: str


class EngineManifest(Record):
    """The content of `engine.json`. `runtime` holds the properties to pass at load."""

    SCHEMA: ClassVar[int] = 6

    key: Sha256
    identity: EngineIdentity
    model: ModelRecord
    calibration: CalibrationRecord | None
    runtime: dict[str, str]
    precision: Precision
    weights: WeightsRecord
    files: dict[str, FileEntry]
    build: BuildRecord
    seal: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, FileEntry]) -> dict[str, FileEntry]:
        for name in files:
            path = PurePath(name)
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(f"`{name}` lies outside of the engine's folder.")
        return files

    def seal_of_fields(self) -> str:
        """The sha256 that `seal` must be."""
        return content_key(self.model_dump(mode="json", exclude={"seal"}))


def content_key(content: Any) -> str:
    """sha256 in hex of the canonical JSON: sorted keys, no spaces, ASCII."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def read_manifest(folder: Path) -> EngineManifest:
    """The checked manifest of an engine folder; the other files are not looked at.

    Raises EngineError when it is missing, broken, altered, or of another schema.
    """
    path = folder / MANIFEST_NAME
    try:
        manifest = read_record(path, EngineManifest, EngineError, _REMEDY)
    except FileNotFoundError:
        raise EngineError(
            f"`{folder}` is not an engine: it has no {MANIFEST_NAME}; `enginebench engines list`"
            " shows the engines."
        ) from None
    if manifest.identity.key != manifest.key:
        raise EngineError(f"{path} was altered: its key does not match its identity; {_REMEDY}.")
    if manifest.seal_of_fields() != manifest.seal:
        raise EngineError(f"{path} was altered: its seal does not match its fields; {_REMEDY}.")
    return manifest


def write_manifest(folder: Path, manifest: EngineManifest) -> None:
    """Write `engine.json` with its seal and wait until it and the folder's entries are on the
    disk.
    """
    sealed = manifest.model_copy(update={"seal": manifest.seal_of_fields()})
    write_json(folder / MANIFEST_NAME, sealed.to_json(), durable=True)
