"""Whether this machine has memory free for an engine: asked before a process is started for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.spec import EngineFolderSpec


def require_room(spec: EngineFolderSpec) -> None:
    """Return where there is memory for the engine, while it is loaded too, and for the cache of one
    request. Raises EnvironmentFault, with what to lower.
    """
    from build_engine.openvino.room import require_loading, require_request
    from build_engine.store.engine import Engine

    engine = Engine.load(spec.folder)
    weights, name = engine.size_bytes, f"engine `{engine.folder.name}`"
    if not engine.emulated:  # whose weights lie in its files as they are computed
        precision, compute = engine.identity.recipe.weights, engine.identity.target.compute
        require_loading(weights, precision, compute, name)
    require_request(engine.manifest.model.config, engine.limits, weights, name)
