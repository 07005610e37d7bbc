"""A whole `engine.json` without an engine: an OpenVINO engine that nobody built."""

from __future__ import annotations

from typing import Any

from build_engine.recipe import load_recipe
from build_engine.store.contents import FileEntry
from build_engine.store.limits import EngineLimits
from build_engine.store.manifest import (
    BackendIdentity,
    EngineIdentity,
    EngineManifest,
    ModelRecord,
    Precision,
    TargetIdentity,
    WeightsRecord,
)
from build_engine.store.sealed import BuildRecord
from tests.build_engine.specs import CONFIG


def make_manifest(recipe: str = "int8_wo", **model: Any) -> EngineManifest:
    """Sealed; `model` are fields of its model record other than those of a tiny checkpoint."""
    identity = EngineIdentity(
        schema_version=EngineManifest.SCHEMA,
        checkpoint="c" * 64,
        recipe=load_recipe(recipe).rules,
        calibration=None,
        limits=EngineLimits(max_input_len=2540, max_seq_len=2668),
        backend=BackendIdentity(
            name="openvino",
            builder=1,
            libraries={"openvino": "2026.4.1", "openvino-genai": "2026.4.1.0"},
        ),
        target=TargetIdentity(name="cpu", kind="cpu", sm=None, compute="bf16"),
    )
    usual: dict[str, Any] = {
        "name": "tiny",
        "source": "/models/tiny",
        "weights": {},
        "config": CONFIG,
    }
    return resealed(
        EngineManifest(
            schema_version=EngineManifest.SCHEMA,
            key=identity.key,
            identity=identity,
            model=ModelRecord(**usual | model),
            calibration=None,
            runtime={},
            precision=Precision(weights="int8", activations="bfloat16", kv_cache="bfloat16"),
            weights=WeightsRecord(types=("int8",), group_size=None),
            files={"openvino_model.bin": FileEntry(bytes=10, sha256="0" * 64)},
            build=BuildRecord(
                started_utc="2026-01-01T00:00:00+00:00",
                duration_s=1.0,
                phases={"network": 1.0},
                host="example",
                tool_version="0.1.0",
            ),
        )
    )


def resealed(manifest: EngineManifest, **identity: Any) -> EngineManifest:
    """The same with other fields of its identity, and the key and seal that go with them."""
    changed = manifest.identity.model_copy(update=identity)
    copy = manifest.model_copy(update={"identity": changed, "key": changed.key})
    return copy.model_copy(update={"seal": copy.seal_of_fields()})
