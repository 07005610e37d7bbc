"""The quantised checkpoint that an engine is compiled from: from the store, or made now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import CheckpointError
from build_engine.paths import cache_root
from build_engine.progress import size_text
from build_engine.store.making import made
from build_engine.store.manifest import CalibrationIdentity, CalibrationRecord
from build_engine.store.quantised import (
    MANIFEST_NAME,
    CheckpointIdentity,
    CheckpointManifest,
    CheckpointStore,
    place,
)
from build_engine.store.sealed import write_sealed
from build_engine.store.spec import folder_name
from build_engine.trtllm.form import is_calibrated
from build_engine.trtllm.modelopt import library_versions
from build_engine.trtllm.modelopt_job import SEED
from build_engine.trtllm.quantise import QUANTISER, format_for, quantise

if TYPE_CHECKING:
    from build_engine.progress import BuildProgress
    from build_engine.store.contents import FileEntry
    from build_engine.store.sealed import BuildRecord
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.quantise import Quantised


def quantised_checkpoint(spec: EngineSpec, progress: BuildProgress) -> Path:
    """The folder of the quantised checkpoint that the engine of `spec` is compiled from, found or
    made now.

    Raises EnvironmentFault where Model Optimizer is needed and is not here, OutputError when the
    store cannot be written, and what `quantise` raises.
    """
    identity = identity_of(spec)
    key = identity.key

    def make(folder: Path) -> None:
        _make(spec, identity, folder, progress)

    where = place(spec.checkpoint.name, spec.recipe.name, key)
    return CheckpointStore(cache_root()).get_or_make(key, where, make, progress).folder


def identity_of(spec: EngineSpec) -> CheckpointIdentity:
    """What decides the checkpoint of a spec. Raises RecipeRefused, ConfigError and EnvironmentFault
    as `quantised_checkpoint` does.
    """
    calibrated = is_calibrated(format_for(spec))
    looked_at = spec.calibration
    return CheckpointIdentity(
        quantiser=QUANTISER,
        checkpoint=spec.checkpoint.digest,
        recipe=spec.recipe.rules,
        calibration=None
        if looked_at is None
        else CalibrationIdentity(digest=looked_at.digest, official=looked_at.official),
        tensor_parallel=spec.limits.tensor_parallel,
        libraries=library_versions() if calibrated else {},
        seed=SEED if calibrated else None,
    )


def has_any(recipe: str) -> bool:
    """Whether the store has a checkpoint of a recipe, of whatever model."""
    name = folder_name(recipe)
    folders = CheckpointStore(cache_root()).folders()
    return any(folder.name.rpartition("-")[0] == name for folder in folders)


def _make(
    spec: EngineSpec, identity: CheckpointIdentity, folder: Path, progress: BuildProgress
) -> None:
    done, files, build = made(lambda timer: quantise(spec, folder, timer), folder, progress)
    if identity_of(spec) != identity:
        raise CheckpointError(
            f"Checkpoint `{spec.checkpoint.folder}` changed while it was being quantised; "
            "quantise it again."
        )
    write_sealed(folder / MANIFEST_NAME, _manifest(spec, identity, done, files, build))
    told = f"at most {size_text(done.peak_host_bytes)} of host memory"
    if done.peak_gpu_bytes:
        told += f" and {size_text(done.peak_gpu_bytes)} on {done.device}"
    progress.note(f"Quantised in {build.duration_s:.1f} s with {told}")


def _manifest(
    spec: EngineSpec,
    identity: CheckpointIdentity,
    done: Quantised,
    files: dict[str, FileEntry],
    build: BuildRecord,
) -> CheckpointManifest:
    looked_at = spec.calibration
    return CheckpointManifest(
        schema_version=CheckpointManifest.SCHEMA,
        key=identity.key,
        identity=identity,
        model=spec.checkpoint.name,
        calibration=None
        if looked_at is None
        else CalibrationRecord(
            name=looked_at.name, options=looked_at.options, num_prompts=done.num_prompts
        ),
        precision=done.precision,
        algorithm=done.algorithm,
        device=done.device,
        peak_host_bytes=done.peak_host_bytes,
        peak_gpu_bytes=done.peak_gpu_bytes,
        files=files,
        build=build,
    )
