"""Compile a checkpoint into an OpenVINO engine: its files, and the properties to load it with."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.checkpoint.values import check_values
from build_engine.errors import OutputError
from build_engine.libraries import library_fault
from build_engine.openvino.signal_stack import signal_stack_kept
from build_engine.store.manifest import Precision
from build_engine.store.spec import BuildFacts

if TYPE_CHECKING:
    import openvino as ov

    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.openvino.quantise import Quantised
    from build_engine.openvino.samples import Sample
    from build_engine.progress import BuildProgress
    from build_engine.store.spec import EngineSpec

MODEL_FILE = "openvino_model.xml"
STORED_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_UNCALIBRATED = ("none", "round_to_nearest")  # an INT8 KV cache measures its scales by itself
DTYPE_NAMES = {"f32": "float32", "bf16": "bfloat16", "u8": "int8"}


@signal_stack_kept()
def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """Write the engine of `spec` into the existing `folder` and return what its manifest must say.

    The folder gets openvino_model.xml and .bin and the tokenizer, all of our own making.
    Raises what `check_values` and `quantise` raise, MissingLibrary without OpenVINO,
    EnvironmentFault for INT8 arithmetic that this CPU has not and for too little room, OutputError
    when the folder cannot be written.
    """
    require_openvino()
    from build_engine.openvino.activations import channels_per_scale, require_here
    from build_engine.openvino.quantise import Quantised, quantise
    from build_engine.openvino.room import require_build
    from build_engine.openvino.samples import calibration_samples

    checkpoint, recipe = spec.checkpoint, spec.recipe
    require_here(recipe, spec.target)
    require_build(spec, folder)
    per_scale = 0 if recipe.is_weight_only else channels_per_scale(checkpoint.config)
    samples = [] if recipe.algorithm in _UNCALIBRATED else calibration_samples(spec.calibration)
    progress.phase("network")
    check_values(checkpoint)
    model = _network(spec, samples, progress)
    stored = _stored_types(checkpoint)
    done = Quantised(
        model,
        f"{' and '.join(stored)}, as in the checkpoint",
        stored,
        note="" if stored == ("bfloat16",) else f"The checkpoint is in {' and '.join(stored)}.",
    )
    if recipe.weights != "bf16":
        progress.phase("quantisation")
        done = quantise(model, checkpoint.config, recipe, samples, progress)
    progress.phase("files")
    save_engine(done.model, checkpoint, folder)
    return _facts(spec, done, per_scale, len(samples))


def _network(spec: EngineSpec, samples: Sequence[Sample], progress: BuildProgress) -> ov.Model:
    from build_engine.openvino.network import build_network
    from build_engine.openvino.smoothquant import smoothed_network

    config, tensors = spec.checkpoint.config, spec.checkpoint.tensors()
    alpha = spec.recipe.smoothquant_alpha
    if alpha is None:
        return build_network(config, tensors)
    return smoothed_network(config, tensors, alpha, samples, spec.compute, progress)


def require_openvino() -> None:
    """Raise MissingLibrary unless OpenVINO can be imported."""
    try:
        importlib.import_module("openvino")
    except ImportError as error:
        raise library_fault(error, "openvino", "cpu") from error


def save_engine(model: ov.Model, checkpoint: Checkpoint, folder: Path) -> None:
    """The graph and the tokenizer in `folder`. Raises OutputError, and CheckpointError for a
    tokenizer that is damaged.
    """
    from openvino import save_model

    tokenizer = Tokenizer.load(checkpoint.folder)
    try:
        save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)
        tokenizer.save(folder)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"The engine cannot be written to {folder} ({error}); free disk space or choose "
            "another folder with ENGINEBENCH_HOME."
        ) from error


def runtime_properties(compute: str, kv_cache: str, per_scale: int = 0) -> dict[str, str]:
    """OpenVINO properties for arithmetic in `compute` (f32, bf16), a recipe's `kv_cache`, and
    activations of which so many share a scale (0: they are not quantised).

    All are stated, because the CPU plugin's own choices differ between machines and change the
    tokens.
    """
    return {
        "INFERENCE_PRECISION_HINT": compute,
        "KV_CACHE_PRECISION": "u8" if kv_cache == "int8" else compute,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": str(per_scale),
    }


def _stored_types(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The types of the weight matrices that the network has, by their files' headers."""
    tensors = checkpoint.tensors()
    shapes = checkpoint.config.tensor_shapes.items()
    return tuple(sorted({STORED_NAMES[tensors[n].dtype] for n, shape in shapes if len(shape) > 1}))


def _facts(spec: EngineSpec, done: Quantised, per_scale: int, num_prompts: int) -> BuildFacts:
    properties = runtime_properties(spec.compute, spec.recipe.kv_cache, per_scale)
    activations = DTYPE_NAMES[spec.compute]
    if per_scale:
        activations = f"int8, one scale per token and {per_scale} channels; attention {activations}"
    sentences = [done.note] if done.note else []
    if spec.compute == "f32":
        cache = " and the KV cache" if properties["KV_CACHE_PRECISION"] == "f32" else ""
        sentences.append(f"This CPU has no bfloat16 arithmetic: products{cache} are float32.")
    return BuildFacts(
        runtime=properties,
        precision=Precision(
            weights=done.weights,
            activations=activations,
            kv_cache=DTYPE_NAMES[properties["KV_CACHE_PRECISION"]],
            note=" ".join(sentences),
        ),
        weight_types=done.weight_types,
        group_size=done.group_size,
        num_prompts=num_prompts,
    )
