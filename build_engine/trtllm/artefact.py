"""Quantised checkpoints in the store: made once, published whole, found by their content.

`<root>/quantised/<model>/<recipe>-<key12>` holds TensorRT-LLM's `config.json`, its weights in
`rank{N}.safetensors`, and our `checkpoint.json`, which is written last. A folder appears by a
rename when it is complete; a lock per key lets one process quantise while others wait. Every
compilation with the same recipe, prompts and number of GPUs uses the same one, and needs none of
the libraries that made it.
"""

from __future__ import annotations

import shutil
from contextlib import contextmanager, suppress
from datetime import datetime, timezone
from os import getpid
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from filelock import FileLock, Timeout
from pydantic import NonNegativeInt, PositiveInt

from build_engine.digest import file_sha256
from build_engine.errors import CheckpointError, EngineError, EnvironmentFault
from build_engine.files import CACHE_REMEDY, cannot_write, sync, write_json
from build_engine.paths import cache_root
from build_engine.progress import PhaseTimer, size_text
from build_engine.recipe import RecipeRules
from build_engine.records import Record, read_record
from build_engine.store.contents import file_problems, seal_files
from build_engine.store.manifest import (
    BuildRecord,
    CalibrationIdentity,
    CalibrationRecord,
    FileEntry,
    Precision,
    content_key,
)
from build_engine.store.spec import SHORT_KEY_LEN, build_record, folder_name
from build_engine.trtllm.modelopt import MODELOPT, library_versions
from build_engine.trtllm.modelopt_job import SEED
from build_engine.trtllm.quantise import QUANTISER, format_for, is_calibrated, quantise
from build_engine.validation import Frozen, Sha256, Text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from build_engine.progress import BuildProgress
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.quantise import Quantised

MANIFEST = "checkpoint.json"
STORE = "quantised"
_REMEDY = "delete that folder and quantise again"


class CheckpointIdentity(Frozen):
    """The content of the key: equal identities are one checkpoint. `libraries` holds the version of
    Model Optimizer, and `seed` is that of the calibration: {} and None for what is not calibrated.
    """

    quantiser: int
    checkpoint: Sha256
    recipe: RecipeRules
    calibration: CalibrationIdentity | None
    tensor_parallel: PositiveInt
    libraries: dict[str, str]
    seed: int | None

    @property
    def key(self) -> str:
        """sha256 of the canonical JSON, 64 hex digits."""
        return content_key(self.model_dump(mode="json"))


class CheckpointManifest(Record):
    """The content of `checkpoint.json`. `algorithm` is what Model Optimizer was given, as JSON; ""
    where it was not needed. `libraries` are the versions of all that took part in the calibration.
    Memory is the largest of the process that quantised, in bytes.
    """

    SCHEMA: ClassVar[int] = 2

    key: Sha256
    identity: CheckpointIdentity
    model: Text
    calibration: CalibrationRecord | None
    precision: Precision
    algorithm: str
    libraries: dict[str, str]
    device: Text
    peak_host_bytes: NonNegativeInt
    peak_gpu_bytes: NonNegativeInt
    files: dict[str, FileEntry]
    build: BuildRecord


def quantised_checkpoint(spec: EngineSpec, progress: BuildProgress) -> Path:
    """The folder of the quantised checkpoint that the engine of `spec` is compiled from, found or
    made now.

    Raises EnvironmentFault where one has to be calibrated and Model Optimizer is not here,
    OutputError when the store cannot be written, and what `quantise` raises.
    """
    try:
        identity = identity_of(spec)
    except EnvironmentFault:
        found = _made_elsewhere(spec)
        if found is None:
            raise
        return found
    key = identity.key
    final = _folder(spec, key)
    if _sound(final, key) is None:
        return final
    try:
        with _locked(key, progress):
            problem = _sound(final, key)
            if problem is None:
                progress.note(f"Using the checkpoint that was quantised meanwhile: {final}")
            else:
                _make(spec, identity, final, progress)
    except OSError as error:
        raise cannot_write(final.parent, error, CACHE_REMEDY) from error
    return final


def identity_of(spec: EngineSpec) -> CheckpointIdentity:
    """What decides the checkpoint of a spec. Raises RecipeRefused, ConfigError and EnvironmentFault
    as `quantised_checkpoint` does.
    """
    libraries = _libraries(spec)
    # PyTorch and transformers only carry out the model, whose checkpoint may come from a machine
    # with others: the release container has its own PyTorch.
    return _identity(spec, {name: libraries[name] for name in libraries if name == MODELOPT})


def read_checkpoint(folder: Path) -> CheckpointManifest:
    """The manifest of a quantised checkpoint, whose files are as they were written.

    Raises EngineError for a folder that is none, or that is damaged.
    """
    try:
        manifest = read_record(folder / MANIFEST, CheckpointManifest, EngineError, _REMEDY)
    except FileNotFoundError:
        raise EngineError(
            f"`{folder}` is not a quantised checkpoint: it has no {MANIFEST}; make one with "
            "`enginebench build --stage quantise`."
        ) from None
    if manifest.identity.key != manifest.key:
        raise EngineError(
            f"{folder / MANIFEST} was altered: its key does not match its identity; {_REMEDY}."
        )
    problems = file_problems(folder, manifest.files, file_sha256)
    if problems:
        raise EngineError(f"`{folder}` is damaged: {' '.join(problems.values())} Quantise again.")
    return manifest


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


def _made_elsewhere(spec: EngineSpec) -> Path | None:
    """The newest whole checkpoint of `spec`, whichever version of Model Optimizer it is of."""
    found = []
    for file in _model_folder(spec).glob(f"{folder_name(spec.recipe.name)}-*/{MANIFEST}"):
        with suppress(EngineError, OSError):
            manifest = read_record(file, CheckpointManifest, EngineError, _REMEDY)
            wanted = _identity(spec, manifest.identity.libraries)
            if manifest.identity == wanted and _sound(file.parent, wanted.key) is None:
                found.append((manifest.build.started_utc, file.parent))
    return max(found)[1] if found else None


def _model_folder(spec: EngineSpec) -> Path:
    return cache_root() / STORE / folder_name(spec.checkpoint.name)


def _folder(spec: EngineSpec, key: str) -> Path:
    leaf = f"{folder_name(spec.recipe.name)}-{key[:SHORT_KEY_LEN]}"
    return _model_folder(spec) / leaf


def _sound(folder: Path, key: str) -> str | None:
    """None for the whole checkpoint of this key, else what is there."""
    try:
        found = read_checkpoint(folder)
    except EngineError as problem:
        return str(problem)
    return None if found.key == key else "its key is not that of its name"


def _make(
    spec: EngineSpec, identity: CheckpointIdentity, final: Path, progress: BuildProgress
) -> None:
    """Quantise in a hidden sibling of `final` and rename it. The caller holds the lock."""
    hidden = f".making-{identity.key[:SHORT_KEY_LEN]}-"
    final.parent.mkdir(parents=True, exist_ok=True)
    for leftover in final.parent.glob(f"{hidden}*"):  # of killed processes: the lock is ours
        shutil.rmtree(leftover, ignore_errors=True)
    folder = final.parent / f"{hidden}{getpid()}"
    folder.mkdir()
    try:
        timer, started = PhaseTimer(progress), datetime.now(timezone.utc)
        done = quantise(spec, folder, timer)
        timer.phase("checksums")
        files = seal_files(folder)
        build = build_record(started, timer.seconds())
        if identity_of(spec) != identity:
            raise CheckpointError(
                f"Checkpoint `{spec.checkpoint.folder}` changed while it was being quantised; "
                "quantise it again."
            )
        manifest = _manifest(spec, identity, done, files, build)
        write_json(folder / MANIFEST, manifest.to_json(), durable=True)
        if final.exists():
            progress.note(f"Replacing a damaged checkpoint: {_sound(final, identity.key)}")
            shutil.rmtree(final)
        folder.rename(final)
        sync(final.parent)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):
            final.parent.rmdir()  # only when it is empty
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


@contextmanager
def _locked(key: str, progress: BuildProgress) -> Iterator[None]:
    """Hold the lock of `key`; say so before waiting for another holder."""
    locks = cache_root() / STORE / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{key[:SHORT_KEY_LEN]}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        progress.note("Another process is quantising this checkpoint; waiting for it to finish.")
        lock.acquire(poll_interval=0.2)
    try:
        yield
    finally:
        lock.release()
