"""The quantised checkpoint that an engine is compiled from: from the store, or made now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import CheckpointError, EnvironmentFault
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
from build_engine.trtllm.modelopt import MODELOPT, library_versions
from build_engine.trtllm.modelopt_job import SEED
from build_engine.trtllm.quantise import QUANTISER, format_for, quantise
from build_engine.trtllm.room import require_room

if TYPE_CHECKING:
    from build_engine.progress import BuildProgress
    from build_engine.store.contents import FileEntry
    from build_engine.store.sealed import BuildRecord
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.quantise import Quantised


def quantised_checkpoint(spec: EngineSpec, progress: BuildProgress) -> Path:
    """The folder of the quantised checkpoint that the engine of `spec` is compiled from, found or
    made now. One that is found needs none of the libraries that made it.

    Raises EnvironmentFault where one has to be calibrated and Model Optimizer is not here,
    OutputError when the store cannot be written, and what `quantise` raises.
    """
    store = CheckpointStore(cache_root())
    try:
        identity = identity_of(spec)
    except EnvironmentFault:
        found = _made_elsewhere(spec, store)
        if found is None:
            raise
        return found
    key = identity.key

    def make(folder: Path) -> None:
        _make(spec, identity, folder, progress)

    where = place(spec.checkpoint.name, spec.recipe.name, key)
    return store.get_or_make(key, where, make, progress).folder


def identity_of(spec: EngineSpec) -> CheckpointIdentity:
    """What decides the checkpoint of a spec. Raises RecipeRefused, ConfigError and EnvironmentFault
    as `quantised_checkpoint` does.
    """
    libraries = _libraries(spec)
    # PyTorch and transformers only carry out the model, whose checkpoint may come from a machine
    # with others: the release container has its own PyTorch.
    return _identity(spec, {name: libraries[name] for name in libraries if name == MODELOPT})


def has_any(recipe: str) -> bool:
    """Whether the store has a checkpoint of a recipe, of whatever model."""
    name = folder_name(recipe)
    folders = CheckpointStore(cache_root()).folders()
    return any(folder.name.rpartition("-")[0] == name for folder in folders)


def _libraries(spec: EngineSpec) -> dict[str, str]:
    """Versions of what calibrates; {} where nothing does. Raises EnvironmentFault."""
    return library_versions() if is_calibrated(format_for(spec)) else {}


def _identity(spec: EngineSpec, libraries: dict[str, str]) -> CheckpointIdentity:
    looked_at = spec.calibration
    return CheckpointIdentity(
        quantiser=QUANTISER,
        checkpoint=spec.checkpoint.digest,
        recipe=spec.recipe.rules,
        calibration=None
        if looked_at is None
        else CalibrationIdentity(digest=looked_at.digest, official=looked_at.official),
        tensor_parallel=spec.limits.tensor_parallel,
        libraries=libraries,
        seed=SEED if is_calibrated(format_for(spec)) else None,
    )


def _made_elsewhere(spec: EngineSpec, store: CheckpointStore) -> Path | None:
    """The newest whole checkpoint of `spec`, whichever version of Model Optimizer it is of."""
    same = [
        found
        for found in store.list()
        if found.recipe == spec.recipe.name
        and found.identity == _identity(spec, found.identity.libraries)
        and not store.verify(found)
    ]
    newest = max(same, key=lambda found: found.manifest.build.started_utc, default=None)
    return None if newest is None else newest.folder


def _make(
    spec: EngineSpec, identity: CheckpointIdentity, folder: Path, progress: BuildProgress
) -> None:
    require_room(spec, folder)
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
        libraries=_libraries(spec),
        device=done.device,
        peak_host_bytes=done.peak_host_bytes,
        peak_gpu_bytes=done.peak_gpu_bytes,
        files=files,
        build=build,
    )
