"""Whether this machine can compile an engine: asked before anything is spent.

A kernel is timed on the GPU at hand, so an engine is compiled on the GPU type that it is for.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault
from build_engine.libraries import installed_version
from build_engine.progress import size_text
from build_engine.target import load_target, target_names
from build_engine.trtllm.gpu import GpuState, read_gpu
from build_engine.trtllm.pin import PIN
from build_engine.trtllm.sizes import estimate

if TYPE_CHECKING:
    from build_engine.store.spec import EngineSpec
    from build_engine.target import Target

# of the weights: the builder holds a checkpoint and the engine at once (TensorRT-LLM issues 102,
# 346, 1609)
_HOST_SHARE = 2
_DISK_SHARE = 2  # of the weights: the checkpoint and the engine
_ELSEWHERE = (
    "`enginebench build --stage quantise` makes the checkpoint here, and `--dry-run` shows the plan"
)


def require_machine(spec: EngineSpec, folder: Path, program: str) -> GpuState:
    """The GPU to compile on. Raises EnvironmentFault for the first thing that this machine lacks:
    the library in its pinned version, its `program`, the target's GPU, or room.
    """
    _require_versions(spec)
    if shutil.which(program) is None:
        raise EnvironmentFault(
            f"`{program}` is not on PATH, though TensorRT-LLM is installed; use the container "
            f"{PIN.container}."
        )
    gpu = require_gpu(spec.target)
    _require_room(spec, gpu, folder)
    return gpu


def _require_versions(spec: EngineSpec) -> None:
    spec.backend.versions(spec.backend.build_libraries, spec.target.name)
    for library in ("tensorrt-llm", "tensorrt"):
        wanted, found = PIN.distributions[library], installed_version(library) or ""
        if found != wanted and not found.startswith(f"{wanted}."):
            raise EnvironmentFault(
                f"{library} {found} is installed, and engines are compiled with {wanted}; use the "
                f"container {PIN.container}."
            )


def require_gpu(target: Target) -> GpuState:
    """The GPU that engines for `target` are compiled on. Raises EnvironmentFault without it."""
    try:
        gpu = read_gpu()
    except EnvironmentFault as reason:
        raise EnvironmentFault(
            f"Engines for `{target.name}` are compiled on that GPU, and there is none here "
            f"({reason}); {_ELSEWHERE}."
        ) from None
    if gpu.name not in target.gpu_names:
        named = [name for name in target_names() if gpu.name in load_target(name).gpu_names]
        remedy = f"build for `--target {named[0]}`" if named else "take the machine of the target"
        raise EnvironmentFault(
            f"Engines for `{target.name}` are compiled on {' or '.join(target.gpu_names)}, and "
            f"this machine has {gpu.name}; {remedy}, or {_ELSEWHERE}."
        )
    if gpu.sm != target.sm:
        raise EnvironmentFault(
            f"{gpu.name} has sm_{gpu.sm} here, and target `{target.name}` says sm_{target.sm}; "
            "mend the target file."
        )
    return gpu


def _require_room(spec: EngineSpec, gpu: GpuState, folder: Path) -> None:
    import psutil

    needed = estimate(spec.checkpoint.config, spec.recipe, spec.limits)
    if gpu.free_bytes < needed.least:
        holders = ", ".join(map(str, gpu.holders)) or "no process of this container holds any"
        raise EnvironmentFault(
            f"{gpu.name} has {size_text(gpu.free_bytes)} of memory free, and this engine needs "
            f"about {size_text(needed.least)}, {size_text(needed.least - gpu.free_bytes)} more: "
            f"{holders}; end what uses it, or choose a recipe with smaller weights."
        )
    everything = needed.weights * spec.limits.tensor_parallel
    host = psutil.virtual_memory().available
    if host < _HOST_SHARE * everything:
        raise EnvironmentFault(
            f"{size_text(host)} of host memory is free, and compiling this engine needs about "
            f"{size_text(_HOST_SHARE * everything)}; end other programs, or take a larger machine."
        )
    disk = shutil.disk_usage(folder).free
    if disk < _DISK_SHARE * everything:
        raise EnvironmentFault(
            f"{size_text(disk)} of disk is free for {folder}, and this engine and its checkpoint "
            f"need about {size_text(_DISK_SHARE * everything)}; free some, or point "
            "ENGINEBENCH_HOME at another disk."
        )
