"""Weight-only quantisation of a network with NNCF, and a plain account of what it did.

NNCF is kept quiet: its warnings become notes of the build, its bars and tables go nowhere, and it
sends no usage statistics.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from build_engine.errors import MissingLibrary, RecipeRefused

if TYPE_CHECKING:
    import openvino as ov

    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.progress import BuildProgress
    from build_engine.recipe import Recipe

    _Sample: TypeAlias = dict[str, npt.NDArray[np.integer]]

# Every token costs a prefill on this CPU. Four times as many left the logit error of the bundled
# model where it was (0.280 against 0.278).
MAX_CALIBRATION_TOKENS = 8192
MIN_GROUP_SIZE = 32  # smaller groups cost more in scales than they bring; a scale is 2 bytes
TELEMETRY_OFF = (
    "NNCF_CI"  # set in the environment, NNCF reports no usage; read once, when it is imported
)
_TELL_EVERY_S = 5.0
SUPPORTED = (
    ("int8", "round_to_nearest"),
    ("int4", "round_to_nearest"),
    ("int4", "awq"),
)


@dataclass(frozen=True, slots=True)
class Quantised:
    """A network and what its weights are: in words, by types, the weights that share a scale, and
    the calibration prompts that were looked at.
    """

    model: ov.Model
    weights: str
    weight_types: tuple[str, ...]
    note: str = ""
    group_size: int | None = None
    num_prompts: int = 0


def quantise(
    model: ov.Model,
    config: LlamaConfig,
    recipe: Recipe,
    calibration: CalibrationSet | None,
    progress: BuildProgress,
) -> Quantised:
    """Quantise the weights of `model`, which may be changed in place.

    Raises RecipeRefused for a recipe that is not weight-only INT8, INT4 or INT4 AWQ, or whose
    groups do not fit the checkpoint; MissingLibrary without NNCF.
    """
    if (recipe.weights, recipe.algorithm) not in SUPPORTED:
        raise RecipeRefused(
            f"`{recipe.name}` has {recipe.weights} weights by {recipe.algorithm}, which the CPU "
            "engine cannot build; choose bf16, "
            f"{' or '.join(' by '.join(supported) for supported in SUPPORTED)}."
        )
    form = "symmetric" if recipe.symmetric else "asymmetric"
    with _quiet_nncf(progress) as nncf:
        suffix = "SYM" if recipe.symmetric else "ASYM"
        int8_mode = getattr(nncf.CompressWeightsMode, f"INT8_{suffix}")
        if recipe.weights == "int8":
            model = nncf.compress_weights(model, mode=int8_mode)
            return Quantised(model, f"int8, {form}, one scale per output channel", ("int8",))
        group_size = fitting_group_size(config, recipe)
        samples = _samples(calibration) if recipe.algorithm == "awq" else []
        options: dict[str, Any] = {}
        if samples:
            told = _Shown(len(samples), progress)
            options = {
                "awq": True,
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
    return Quantised(model, weights, ("int4", "int8"), note, group_size, len(samples))


def fitting_group_size(config: LlamaConfig, recipe: Recipe) -> int:
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
            f"AWQ looked at {num_samples} calibration prompts (at most {MAX_CALIBRATION_TOKENS} "
            "tokens) and scales the inputs of the down projections, the only ones that NNCF can "
            "fold into the layer before; all other layers are rounded to nearest."
        )
    return " ".join(sentences)


def _samples(calibration: CalibrationSet | None) -> list[_Sample]:
    """Inputs of the stateful graph, one whole prompt each; NNCF resets the state before each."""
    assert calibration is not None, "make_spec gives a calibrated recipe its prompts"
    samples: list[_Sample] = []
    num_tokens = 0
    for prompt in calibration.prompts:
        num_tokens += len(prompt)
        if samples and num_tokens > MAX_CALIBRATION_TOKENS:
            break
        ids = prompt.astype(np.int64)[np.newaxis]
        samples.append(
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "position_ids": np.arange(ids.size, dtype=np.int64)[np.newaxis],
                "beam_idx": np.zeros(1, np.int32),
            }
        )
    return samples


class _Shown:
    """Passes prompts on to NNCF, and tells how many it has looked at."""

    def __init__(self, total: int, progress: BuildProgress) -> None:
        self._total = total
        self._progress = progress
        self._done = 0
        self._told_s = time.monotonic()

    def __call__(self, sample: _Sample) -> _Sample:
        now_s = time.monotonic()
        if self._done and now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            self._progress.note(f"{self._done} of {self._total} calibration prompts")
        self._done += 1
        if self._done == self._total:
            self._progress.note(
                f"the last of {self._total} calibration prompts; then each layer is scaled, and "
                "its weights are rounded"
            )
        return sample


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
        raise MissingLibrary("nncf", "cpu") from error
    logger = logging.getLogger("nncf")
    handlers = logger.handlers
    logger.handlers = [_Notes(progress)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield nncf
    finally:
        logger.handlers = handlers
