"""Whether this machine can quantise a checkpoint or compile an engine: asked before anything is
spent.

A kernel is timed on the GPU at hand, so an engine is compiled on the GPU type that it is for.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault
from build_engine.free_disk import require_disk
from build_engine.free_memory import require_free
from build_engine.gpu import GpuState, visible_gpus
from build_engine.libraries import installed_version
from build_engine.target import load_target, target_names
from build_engine.trtllm.algorithm import NoSuchFormat, format_of
from build_engine.trtllm.artefact import has_any
from build_engine.trtllm.form import is_calibrated
from build_engine.trtllm.modelopt import library_versions
from build_engine.trtllm.pin import PIN
from build_engine.trtllm.plan import PROGRAM
from build_engine.trtllm.sizes import build_needs

if TYPE_CHECKING:
    from build_engine.recipe import RecipeRules
    from build_engine.store.spec import EngineSpec
    from build_engine.target import Target

_ELSEWHERE = (
    "`enginebench build --stage quantise` makes the checkpoint here, and `--dry-run` shows the plan"
)


def require_machine(spec: EngineSpec, folder: Path) -> None:
    """Return where this machine can compile the engine in `folder`. Raises EnvironmentFault for the
    first thing that it lacks.
    """
    require_compiler(spec.recipe, spec.target)
    _require_room(spec, folder)


def require_compiler(recipe: RecipeRules, target: Target) -> None:
    """Return where engines of the recipe can be compiled for the target, as far as that is known
    without the checkpoint. Raises EnvironmentFault for the first thing that is missing: a library
    in its pinned version, the program, or the target's GPU.
    """
    _require_versions()
    if shutil.which(PROGRAM) is None:
        raise EnvironmentFault(
            f"`{PROGRAM}` is not on PATH, though TensorRT-LLM is installed; use the container "
            f"{PIN.container}."
        )
    _require_gpu(target)
    require_quantiser(recipe, target)


def require_quantiser(recipe: RecipeRules, _target: Target) -> None:
    """Return where checkpoints of the recipe can be quantised, which is the same for every target,
    or where the store has one that may be meant. Raises EnvironmentFault where Model Optimizer is
    needed and is not here, or in another version.
    """
    try:
        calibrated = is_calibrated(format_of(recipe))
    except NoSuchFormat:  # the refusal of the recipe says why
        return
    if calibrated and not has_any(recipe.name):
        library_versions()


def _require_room(spec: EngineSpec, folder: Path) -> None:
    needed = build_needs(spec.checkpoint.config, spec.recipe, spec.limits)
    _require_gpu(spec.target).require_free(
        needed.build_device, "this engine needs", "choose a recipe with smaller weights"
    )
    require_free(needed.build_host, "compiling this engine needs", "take a larger machine")
    require_disk(folder, needed.disk, "this engine and its checkpoint need")


def _require_versions() -> None:
    for library in ("tensorrt-llm", "tensorrt"):
        found = installed_version(library)
        if found is None or not PIN.has(library, found):
            told = "is not" if found is None else f"{found} is"
            raise EnvironmentFault(
                f"{library} {told} installed, and engines are compiled with "
                f"{PIN.distributions[library]}; use the container {PIN.container}."
            )


def _require_gpu(target: Target) -> GpuState:
    try:
        gpus = visible_gpus()
    except EnvironmentFault as reason:
        raise EnvironmentFault(
            f"Engines for `{target.name}` are compiled on that GPU, and there is none here "
            f"({reason}); {_ELSEWHERE}."
        ) from None
    gpu = gpus[0]
    if len({each.name for each in gpus}) > 1:
        raise EnvironmentFault(_unlike(target, gpus))
    if gpu.name not in target.gpu_names:
        named = [name for name in target_names() if gpu.name in load_target(name).gpu_names]
        remedy = f"build for `--target {named[0]}`" if named else "take the machine of the target"
        raise EnvironmentFault(
            f"Engines for `{target.name}` are compiled on {' or '.join(target.gpu_names)}, and "
            f"this machine has {gpu.name}; {remedy}, or {_ELSEWHERE}."
        )
    if gpu.sm is not None and gpu.sm != target.sm:
        raise EnvironmentFault(
            f"{gpu.name} has sm_{gpu.sm} here, and target `{target.name}` says sm_{target.sm}; "
            "mend the target file."
        )
    return gpu


def _unlike(target: Target, gpus: tuple[GpuState, ...]) -> str:
    """CUDA takes the fastest first, and NVML counts by the bus."""
    listed = ", ".join(f"{gpu.number}: {gpu.name}" for gpu in gpus)
    fitting = [gpu.uuid for gpu in gpus if gpu.name in target.gpu_names and gpu.uuid]
    chosen = fitting[0] if fitting else "UUID"
    return (
        f"Programs see GPUs of different types here ({listed}), and which of them comes first is "
        f"CUDA's choice; show them the target's alone, with CUDA_VISIBLE_DEVICES={chosen} "
        "(`nvidia-smi -L` lists the UUIDs)."
    )
