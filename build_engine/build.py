"""The one entry point of a build: what is asked for is checked first, then the target's backend
builds it once.

`build_engine/backend.py` says what that calls: `openvino/compile.py` for a CPU, and for a GPU
`trtllm/compile.py`, which takes the checkpoint that `trtllm/quantise.py` writes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.backend import backend
from build_engine.errors import ConfigError, DatasetError
from build_engine.memory import require_address_space
from build_engine.progress import BuildProgress, NullProgress
from build_engine.recipe import require
from build_engine.store.engine import Engine
from build_engine.store.spec import EngineSpec
from build_engine.store.store import EngineStore

if TYPE_CHECKING:
    from pathlib import Path

    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.recipe import Recipe
    from build_engine.store.limits import EngineLimits
    from build_engine.store.spec import BuildFacts
    from build_engine.store.store import Trial
    from build_engine.target import Target

__all__ = ["BuildProgress", "NullProgress", "build", "make_spec"]


def build(
    spec: EngineSpec, store: EngineStore, progress: BuildProgress, trial: Trial | None = None
) -> Engine:
    """The engine of `spec` from the store, built now when it is not there yet.

    `trial` is called with an engine that was built, before the store has it. Raises
    EnvironmentFault for a target that this version builds nothing for, OutputError when the store
    cannot take the engine, and what the backend and `trial` raise.
    """

    def compile_now(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        """Load the backend only when there is something to build: a stored engine is found without
        it.
        """
        require_address_space()
        return spec.backend.builder_of(spec.target.name)(spec, folder, progress)

    engine = store.get_or_build(spec, compile_now, progress, trial)
    return replace(engine, built_for=spec.target)


def make_spec(
    checkpoint: Checkpoint,
    target: Target,
    recipe: Recipe,
    limits: EngineLimits,
    calibration: CalibrationSet | None = None,
    profile: str | None = None,
) -> EngineSpec:
    """A spec that can be built: the recipe suits the target, the limits the model, the calibration
    set the recipe, the profile (None: the usual one) the backend.

    A calibration set is cut to the number of prompts that the recipe asks for, and left out for a
    recipe without calibration. Raises RecipeRefused, ConfigError for limits, UnknownName for a
    profile, DatasetError for a calibration set that is missing or too small.
    """
    require(recipe, target)
    _check_limits(limits, checkpoint, target)
    if recipe.calibration_samples == 0:
        calibration = None
    elif calibration is None:
        raise DatasetError(
            f"Recipe `{recipe.name}` needs {recipe.calibration_samples} calibration prompts"
            " and got none; give a"
            " calibration set, or choose a recipe without calibration."
        )
    else:
        calibration = calibration.first(recipe.calibration_samples)
    builder = backend(target.backend)
    compute = builder.compute_of(target).value
    profile = builder.profile(profile)
    return EngineSpec(checkpoint, target, recipe, limits, calibration, compute, profile)


def _check_limits(limits: EngineLimits, checkpoint: Checkpoint, target: Target) -> None:
    positions = checkpoint.config.max_position_embeddings
    if limits.max_seq_len > positions:
        raise ConfigError(
            f"limits.max_seq_len {limits.max_seq_len} is more than the {positions} positions of"
            f" `{checkpoint.name}`; lower it to {positions} or less."
        )
    backend(target.backend).require_parts(limits, target)
