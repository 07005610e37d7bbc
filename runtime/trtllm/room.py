"""Whether a GPU has memory free for an engine: asked before a process is started for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault

if TYPE_CHECKING:
    from runtime.trtllm.spec import TRTLLMSpec


def require_room(spec: TRTLLMSpec) -> None:
    """Return where the GPU of `spec` can hold its engine and the cache of one request, or where
    that is not known. Raises EnvironmentFault.

    The engine takes more than that, so what is refused could not have run.
    """
    from build_engine.gpu import visible_gpus
    from build_engine.store.engine import Engine
    from build_engine.trtllm.sizes import estimate

    engine, number = Engine.load(spec.folder), spec.gpu
    try:
        gpus = visible_gpus()
    except EnvironmentFault:
        return
    gpu = gpus[0] if number is None else next((gpu for gpu in gpus if gpu.number == number), None)
    if gpu is None:
        return
    files = engine.manifest.files.items()
    weights = sum(entry.bytes for name, entry in files if name.endswith(".engine"))
    request = estimate(engine.manifest.model.config, engine.identity.recipe, engine.limits)
    gpu.require_free(
        weights // engine.limits.tensor_parallel + int(request.kv_request / spec.kv_cache_fraction),
        f"engine `{engine.folder.name}` needs",
        "execute an engine with smaller weights",
    )
