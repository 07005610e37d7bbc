"""The marks of a run: what keeps it from being a benchmark result, shown wherever the run is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from build_engine import recipe
from runtime.backend import backend

if TYPE_CHECKING:
    from build_engine.store.manifest import EngineManifest
    from harness.dataset.record import DatasetRecord
    from harness.runs.record import Mark
    from harness.runs.scope import RunScope
    from harness.runs.simulated import SimulatedEngine
    from runtime.spec import ExecutorSpec


def marks_of(
    scope: RunScope,
    dataset: DatasetRecord,
    engine: EngineManifest | None,
    executor: ExecutorSpec,
    simulated: SimulatedEngine | None = None,
) -> tuple[Mark, ...]:
    """Those of a run of this engine, None for an executor without one, on this dataset;
    `simulated` is what a time model stands for.
    """
    rules = engine.identity.recipe if engine else simulated.recipe if simulated else None
    benchmark = scope.workload.benchmark is not None
    pretended = not backend(executor.answers_by).measured
    found: dict[Mark, bool] = {
        "simulated": pretended and engine is None,
        "emulated": pretended and engine is not None,
        "demo workload": not benchmark,
        "changed recipe": bool(rules and recipe.changes(rules)),
        "changed workload": scope.changed,
        "no MLPerf scenario": benchmark and scope.unchanged and not scope.official,
        "other data": benchmark and dataset.benchmark is None,
        "other weights": _other_weights(scope, engine),
        "declared engine": executor.is_served,
        "caching not declared": executor.hides_caching,
        "tokens by tokenizer": executor.counts_by_tokenizer,
        "failures tolerated": executor.tolerates_failures,
        "short": scope.trial,
    }
    return tuple(mark for mark, holds in found.items() if holds)


def named_plainly(recipe: str, target: str | None, marks: Sequence[Mark]) -> str:
    """What people call an engine of this recipe: an emulated or simulated one is never called like
    the engine that it stands for.
    """
    pretended = next((mark for mark in ("emulated", "simulated") if mark in marks), None)
    return f"{recipe} {pretended} {target}" if pretended and target else recipe


def _other_weights(scope: RunScope, engine: EngineManifest | None) -> bool:
    """Whether an engine was not built from the very weights of the benchmark's model."""
    model = scope.workload.model
    if scope.workload.benchmark is None or model is None or engine is None:
        return False
    return not model.has_weights(engine.model.weights)
