"""The toy's builder: what an engine of it contains, and its entry."""

from __future__ import annotations

import json
from pathlib import Path

from build_engine.backend import Backend
from build_engine.progress import BuildProgress
from build_engine.recipe import Recipe
from build_engine.store.manifest import Precision
from build_engine.store.spec import BuildFacts, EngineSpec
from build_engine.target import Detected, Target
from tests.toy.worker import ANSWER


def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """An engine that answers with the first ids of the vocabulary."""
    progress.phase("toy")
    (folder / ANSWER).write_text(json.dumps([5, 6, 7]))
    for file in spec.checkpoint.companions:
        (folder / file.name).write_bytes(file.read_bytes())
    return BuildFacts({}, Precision(weights="none", activations="none", kv_cache="none"), ("none",))


def compute(target: Target) -> Detected[str]:
    return Detected("pretence", "it is a toy")


def refusal(recipe: Recipe, target: Target) -> str | None:
    return None if recipe.algorithm == "none" else "a toy is not quantised"


BACKEND = Backend(
    name="toy",
    framework="Toys",
    framework_library="toy-backend",
    builder=1,
    build_libraries=("toy-backend",),
    load_libraries=("toy-backend",),
    extra=None,
    absent="come with the tests.",
    compile="tests.toy.builder:compile_engine",
    compute="tests.toy.builder:compute",
    refusal="tests.toy.builder:refusal",
)
