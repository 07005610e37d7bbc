"""Quantisation of a network's weights with NNCF, and a plain account of what it did.

NNCF is kept quiet: its warnings become notes of the build, its bars and tables go nowhere, and it
sends no usage statistics.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from build_engine.errors import RecipeRefused
from build_engine.libraries import library_fault
from build_engine.openvino.samples import MAX_CALIBRATION_TOKENS, Sample, Shown
from build_engine.openvino.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    import openvino as ov

    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.progress import BuildProgress
    from build_engine.recipe import Recipe, RecipeRules

MIN_GROUP_SIZE = 32  # smaller groups cost more in scales than they bring; a scale is 2 bytes
TELEMETRY_OFF = (
    "NNCF_CI"  # set in the environment, NNCF reports no usage; read once, when it is imported
)


@dataclass(frozen=True, slots=True)
class Quantised:
    """A network and what its weights are: in words, by types, and the weights that share a
    scale.
    """

    model: ov.Model
    weights: str
    weight_types: tuple[str, ...]
    note: str = ""
    group_size: int | None = None


def quantise(
    model: ov.Model,
    config: LlamaConfig,
    recipe: Recipe,
    samples: Sequence[Sample],
    progress: BuildProgress,
) -> Quantised:
    """Quantise the weights of `model`, which may be changed in place and is smoothed already where
    the recipe asks for that; `samples` are those of a calibrated recipe.

    Raises RecipeRefused for groups that do not fit the checkpoint, MissingLibrary without NNCF.
    """
    form = "symmetric" if recipe.symmetric else "asymmetric"
    with _quiet_nncf(progress) as nncf:
        suffix = "SYM" if recipe.symmetric else "ASYM"
        int8_mode = getattr(nncf.CompressWeightsMode, f"INT8_{suffix}")
        if recipe.weights == "int8":
            model = nncf.compress_weights(model, mode=int8_mode)
            weights = f"int8, {form}, one scale per output channel"
            if recipe.algorithm != "smoothquant":
                return Quantised(model, weights, ("int8",))
            weights += f", smoothed (alpha {recipe.smoothquant_alpha:g})"
            return Quantised(model, weights, ("int8",), _looked_at("SmoothQuant", len(samples)))
        group_size = fitting_group_size(config, recipe)
        options: dict[str, Any] = {}
        if recipe.algorithm == "awq":
            then = "each layer is scaled, and its weights are rounded"
            told = Shown(len(samples), then, progress)
            options = {
                "awq": True,
                # SmolLM2-135M's next tokens on news, nats from those of float32: rounding 0.405,
                # AWQ 0.369, AWQ with it 0.256
                "scale_estimation": True,
                "dataset": nncf.Dataset(samples, told),
                "subset_size": len(samples),
            }
        model = nncf.compress_weights(
            model,
            mode=getattr(nncf.CompressWeightsMode, f"INT4_{suffix}"),
            group_size=group_size,
            ratio=1.0,
            backup_mode=getattr(nncf.BackupMode, f"INT8_{suffix}"),
            **options,
        )
    weights = f"int4, {form}, groups of {group_size}; embedding and head int8, {form}"
    note = _int4_note(recipe, group_size, len(samples))
    return Quantised(model, weights, ("int4", "int8"), note, group_size)


def fitting_group_size(config: LlamaConfig, recipe: RecipeRules) -> int:
    """The recipe's group size, halved until it divides the inputs of every linear layer, down to 32
    weights.

    Raises RecipeRefused when none does.
    """
    assert recipe.group_size is not None, "Recipe gives every int4 recipe a group size"
    inputs = {
        "hidden_size": config.hidden_size,
        "num_heads * head_dim": config.num_heads * config.head_dim,
        "intermediate_size": config.intermediate_size,
    }
    group_size = recipe.group_size
    if group_size < MIN_GROUP_SIZE:
        raise RecipeRefused(
            f"`{recipe.name}` has recipe.group_size {group_size}, and the CPU engine quantises "
            f"groups of at least {MIN_GROUP_SIZE} weights; give {MIN_GROUP_SIZE} or more."
        )
    while any(size % group_size for size in inputs.values()):
        group_size //= 2
        if group_size < MIN_GROUP_SIZE:
            sizes = ", ".join(f"{name} {size}" for name, size in inputs.items())
            raise RecipeRefused(
                f"`{recipe.name}` has recipe.group_size {recipe.group_size}, and neither that nor "
                f"a half of it down to {MIN_GROUP_SIZE} weights divides the layers of this "
                f"checkpoint ({sizes}); {_fitting(list(inputs.values()))}use `int8_wo`."
            )
    return group_size


def _fitting(inputs: list[int]) -> str:
    """The advice to take the largest power of two that divides all inputs, where that is enough."""
    largest = min(size & -size for size in inputs)
    return f"give {largest}, or " if largest >= MIN_GROUP_SIZE else ""


def _int4_note(recipe: Recipe, group_size: int, num_samples: int) -> str:
    sentences = []
    if group_size != recipe.group_size:
        sentences.append(
            f"Groups of {group_size} instead of {recipe.group_size}, which does not divide every "
            "layer."
        )
    if recipe.algorithm == "awq":
        sentences.append(
            f"{_looked_at('AWQ', num_samples)[:-1]} and scales the inputs of the down projections, "
            "the only ones that NNCF can fold into the layer before; the scales of all groups are "
            "those that change the layers' outputs least on these prompts."
        )
    return " ".join(sentences)


def _looked_at(algorithm: str, num_samples: int) -> str:
    return (
        f"{algorithm} looked at {num_samples} calibration prompts (at most "
        f"{MAX_CALIBRATION_TOKENS} tokens)."
    )


class _Notes(logging.Handler):
    """Passes log records on as notes of a build."""

    def __init__(self, progress: BuildProgress) -> None:
        super().__init__(logging.WARNING)
        self.progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        self.progress.note(f"NNCF: {record.getMessage()}")


@contextlib.contextmanager
def _quiet_nncf(progress: BuildProgress) -> Iterator[Any]:
    """The `nncf` module, with its log turned into notes and its standard output discarded."""
    os.environ.setdefault(TELEMETRY_OFF, "1")
    try:
        import nncf
    except ImportError as error:
        raise library_fault(error, "nncf", "cpu") from error
    logger = logging.getLogger("nncf")
    handlers = logger.handlers
    logger.handlers = [_Notes(progress)]
    try:
        with contextlib.redirect_stdout(io.StringIO()), signal_stack_kept():
            yield nncf
    finally:
        logger.handlers = handlers
