"""Compile a checkpoint into an OpenVINO engine: its files, and the properties to load it with."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.checkpoint.values import check_values
from build_engine.errors import MissingLibrary, OutputError
from build_engine.store.manifest import Precision
from build_engine.store.spec import BuildFacts

if TYPE_CHECKING:
    import openvino as ov

    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.openvino.quantise import Quantised
    from build_engine.progress import BuildProgress
    from build_engine.store.spec import EngineSpec

MODEL_FILE = "openvino_model.xml"
STORED_NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16"}
DTYPE_NAMES = {"f32": "float32", "bf16": "bfloat16", "u8": "int8"}


def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """Write the engine of `spec` into the existing `folder` and return what its manifest must say.

    The folder gets openvino_model.xml and .bin and the tokenizer, all of our own making.
    Raises what `check_values` and `quantise` raise, MissingLibrary without OpenVINO, OutputError
    when the folder cannot be written.
    """
    require_openvino()
    from build_engine.openvino.network import build_network
    from build_engine.openvino.quantise import Quantised, quantise

    checkpoint, recipe = spec.checkpoint, spec.recipe
    progress.phase("network")
    check_values(checkpoint)
    model = build_network(checkpoint.config, checkpoint.tensors())
    stored = _stored_types(checkpoint)
    done = Quantised(
        model,
        f"{' and '.join(stored)}, as in the checkpoint",
        stored,
        note="" if stored == ("bfloat16",) else f"The checkpoint is in {' and '.join(stored)}.",
    )
    if recipe.weights != "bf16":
        progress.phase("quantisation")
        done = quantise(model, checkpoint.config, recipe, spec.calibration, progress)
    progress.phase("files")
    save_engine(done.model, checkpoint, folder)
    return _facts(spec, done)


def require_openvino() -> None:
    """Raise MissingLibrary unless OpenVINO can be imported."""
    try:
        importlib.import_module("openvino")
    except ImportError as error:
        raise MissingLibrary("openvino", "cpu") from error


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


def runtime_properties(compute: str, kv_cache: str) -> dict[str, str]:
    """OpenVINO properties for arithmetic in `compute` (f32, bf16) and a recipe's `kv_cache`.

    All are stated, because the CPU plugin's own choices differ between machines and change the
    tokens. Activations are never quantised on the fly (group size 0): these recipes are
    weight-only.
    """
    return {
        "INFERENCE_PRECISION_HINT": compute,
        "KV_CACHE_PRECISION": "u8" if kv_cache == "int8" else compute,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
    }


def _stored_types(checkpoint: Checkpoint) -> tuple[str, ...]:
    """The types of the weight matrices that the network has, by their files' headers."""
    tensors = checkpoint.tensors()
    shapes = checkpoint.config.tensor_shapes.items()
    return tuple(sorted({STORED_NAMES[tensors[n].dtype] for n, shape in shapes if len(shape) > 1}))


def _facts(spec: EngineSpec, done: Quantised) -> BuildFacts:
    properties = runtime_properties(spec.compute, spec.recipe.kv_cache)
    sentences = [done.note] if done.note else []
    if spec.compute == "f32":
        cache = " and the KV cache" if properties["KV_CACHE_PRECISION"] == "f32" else ""
        sentences.append(f"This CPU has no bfloat16 arithmetic: products{cache} are float32.")
    return BuildFacts(
        runtime=properties,
        precision=Precision(
            weights=done.weights,
            activations=DTYPE_NAMES[spec.compute],
            kv_cache=DTYPE_NAMES[properties["KV_CACHE_PRECISION"]],
            note=" ".join(sentences),
        ),
        weight_types=done.weight_types,
        group_size=done.group_size,
        num_prompts=done.num_prompts,
    )
