"""`engine.json`: what an engine is. `sealed.py` says how it is written and checked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import NonNegativeInt, field_validator, model_validator

from build_engine.backend import backend
from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.errors import EngineError, UnknownName
from build_engine.recipe import RecipeRules
from build_engine.store.limits import EngineLimits
from build_engine.store.sealed import Identity, Manifest, read_sealed, write_sealed
from build_engine.validation import Frozen, Name, Sha256, Text

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

    name: Name
    kind: Literal["cpu", "gpu"]
    sm: int | None
    compute: Text


class CalibrationIdentity(Frozen):
    """Which prompts a recipe was calibrated on; `official` is whether they are of a benchmark's own
    calibration set.
    """

    digest: Sha256
    official: bool


class EngineIdentity(Identity):
    """The content of the key: equal identities are one engine. `profile` is what it is tuned for,
    None where its backend has no choice.

    Not in it: scenario, number of GPUs, where files lie.
    """

    schema_version: int
    checkpoint: Sha256
    recipe: RecipeRules
    calibration: CalibrationIdentity | None
    limits: EngineLimits
    profile: Name | None = None
    backend: BackendIdentity
    target: TargetIdentity


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


class EngineManifest(Manifest):
    """The content of `engine.json`. `runtime` holds the properties to pass at load: those that the
    builder writes, and no other that its library would take.
    """

    SCHEMA: ClassVar[int] = 6

    identity: EngineIdentity
    model: ModelRecord
    calibration: CalibrationRecord | None
    runtime: dict[str, str]
    precision: Precision
    weights: WeightsRecord

    @model_validator(mode="after")
    def _known_properties(self) -> EngineManifest:
        kind = backend(self.identity.backend.name)
        for name, value in self.runtime.items():
            valid = kind.properties.get(name)
            if valid is None:
                known = ", ".join(sorted(kind.properties)) or "none"
                raise ValueError(
                    f"`runtime.{name}` is no property that {kind.framework} engines are built "
                    f"with. Valid: {known}."
                )
            if not re.fullmatch(valid, value):
                raise ValueError(f"`runtime.{name}` must match {valid}, not {value!r}.")
        return self


def read_manifest(folder: Path) -> EngineManifest:
    """The checked manifest of an engine folder; the other files are not looked at.

    Raises EngineError when it is missing, broken, altered, or of another schema.
    """
    try:
        return read_sealed(folder / MANIFEST_NAME, EngineManifest, _REMEDY)
    except FileNotFoundError:
        raise EngineError(
            f"`{folder}` is not an engine: it has no {MANIFEST_NAME}; `enginebench engines list`"
            " shows the engines."
        ) from None


def write_manifest(folder: Path, manifest: EngineManifest) -> None:
    """Write `engine.json`, sealed and safely on the disk."""
    write_sealed(folder / MANIFEST_NAME, manifest)
