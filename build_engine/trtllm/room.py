"""Whether this machine has room for quantising a checkpoint: asked before anything is spent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault
from build_engine.free_disk import require_disk
from build_engine.free_memory import require_free
from build_engine.gpu import visible_gpus
from build_engine.trtllm.sizes import build_needs

if TYPE_CHECKING:
    from build_engine.store.spec import EngineSpec


def require_room(spec: EngineSpec, folder: Path) -> None:
    """Return where the checkpoint of `spec` can be quantised into the existing `folder`. Raises
    EnvironmentFault; a GPU is asked by the process that takes it.
    """
    needed = build_needs(spec.checkpoint.config, spec.recipe, spec.limits)
    host, elsewhere = needed.quantise_host, "take a larger machine"
    if needed.quantise_device and not _has_gpu():
        host = needed.quantise_alone
        elsewhere = "take one with a GPU, which holds half of it"
    require_free(host, "quantising this checkpoint needs", elsewhere)
    require_disk(folder, needed.quantise_disk, "this quantised checkpoint needs")


def _has_gpu() -> bool:
    try:
        visible_gpus()
    except EnvironmentFault:
        return False
    return True
