"""What an engine is made from: the content that makes its key.

Equal content gives an equal key, whatever the scenario, the number of GPUs and the place of the
checkpoint.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath

from build_engine.backend import Backend, backend
from build_engine.calibration import CalibrationSet
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.recipe import Recipe
from build_engine.store.contents import FileEntry
from build_engine.store.limits import EngineLimits
from build_engine.store.manifest import (
    BackendIdentity,
    CalibrationIdentity,
    CalibrationRecord,
    EngineIdentity,
    EngineManifest,
    ModelRecord,
    Precision,
    TargetIdentity,
    WeightsRecord,
)
from build_engine.store.sealed import BuildRecord
from build_engine.target import Target

SHORT_KEY_LEN = 12  # hex digits of the key in folder names: 48 bits


@dataclass(frozen=True, slots=True)
class BuildFacts:
    """What only the builder knows of the engine that it wrote.

    `runtime` holds the properties to pass at load; `weight_types` are those of all stored weight
    matrices, `group_size` the weights that share a scale (None: one scale a channel, or none),
    `num_prompts` the calibration prompts looked at.
    """

    runtime: Mapping[str, str]
    precision: Precision
    weight_types: tuple[str, ...]
    group_size: int | None = None
    num_prompts: int = 0


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Everything that decides what an engine contains. `compute` is the arithmetic: bf16, f32,
    sm_80; `profile` what it is tuned for, None where its backend has no choice.
    """

    checkpoint: Checkpoint
    target: Target
    recipe: Recipe
    limits: EngineLimits
    calibration: CalibrationSet | None
    compute: str
    profile: str | None = None

    @property
    def backend(self) -> Backend:
        """What builds it."""
        return backend(self.target.backend)

    @property
    def identity(self) -> EngineIdentity:
        """The content of the key.

        Raises MissingLibrary or EnvironmentFault when the target's backend is not installed.
        """
        builder, looked_at = self.backend, self.calibration
        return EngineIdentity(
            schema_version=EngineManifest.SCHEMA,
            checkpoint=self.checkpoint.digest,
            recipe=self.recipe.rules,
            calibration=None
            if looked_at is None
            else CalibrationIdentity(digest=looked_at.digest, official=looked_at.official),
            limits=self.limits,
            profile=self.profile,
            backend=BackendIdentity(
                name=builder.name,
                builder=builder.builder,
                libraries=builder.versions(builder.build_libraries, self.target.name),
            ),
            target=TargetIdentity(
                name=self.target.name,
                kind=self.target.kind,
                sm=self.target.sm,
                compute=self.compute,
            ),
        )

    @property
    def key(self) -> str:
        """sha256 of the identity, 64 hex digits."""
        return self.identity.key

    @property
    def model_source(self) -> str:
        """What `enginebench build --model` takes for this checkpoint: the bundled name, else its
        folder.
        """
        from newsbrief import CHECKPOINT

        checkpoint = self.checkpoint
        return checkpoint.name if checkpoint.folder == CHECKPOINT else str(checkpoint.folder)

    @property
    def folder(self) -> PurePath:
        """`<model>/<target>/<recipe>-<first 12 digits of the key>`, relative to the engines of a
        store.
        """
        return self.folder_of(self.key)

    def folder_of(self, key: str) -> PurePath:
        """`folder` for who has the key at hand: a key takes milliseconds."""
        leaf = f"{folder_name(self.recipe.name)}-{key[:SHORT_KEY_LEN]}"
        return PurePath(folder_name(self.checkpoint.name), folder_name(self.target.name), leaf)

    def manifest(
        self, facts: BuildFacts, files: Mapping[str, FileEntry], build: BuildRecord
    ) -> EngineManifest:
        """The content of `engine.json` for this spec, once built; not sealed yet."""
        identity, looked_at = self.identity, self.calibration
        return EngineManifest(
            schema_version=EngineManifest.SCHEMA,
            key=identity.key,
            identity=identity,
            model=ModelRecord(
                name=self.checkpoint.name,
                source=self.model_source,
                weights=self.checkpoint.weights,
                config=self.checkpoint.config,
            ),
            calibration=None
            if looked_at is None
            else CalibrationRecord(
                name=looked_at.name, options=looked_at.options, num_prompts=facts.num_prompts
            ),
            runtime=dict(facts.runtime),
            precision=facts.precision,
            weights=WeightsRecord(types=facts.weight_types, group_size=facts.group_size),
            files=dict(files),
            build=build,
        )


def folder_name(name: str) -> str:
    """`name` as one path component, never empty, hidden or `..`: `o/M 8B` becomes `o--M-8B`."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.replace("/", "--")).strip(".-")
    return plain or "unnamed"
