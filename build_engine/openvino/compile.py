"""Compile a checkpoint into an OpenVINO engine: its files, and the properties to load it with."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.engine import BuildFacts
from build_engine.errors import MissingLibrary, OutputError

if TYPE_CHECKING:
    from build_engine.engine import EngineSpec
    from build_engine.progress import BuildProgress

MODEL_FILE = "openvino_model.xml"
COPIED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
DTYPE_NAMES = {"f32": "float32", "bf16": "bfloat16", "u8": "int8"}


def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """Write the engine of `spec` into the existing `folder` and return what its manifest must say.

    The folder gets openvino_model.xml and .bin and those of `COPIED_FILES` that the checkpoint has.
    Raises what `quantise` raises, MissingLibrary without OpenVINO, OutputError when the folder
    cannot be written.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise MissingLibrary("openvino", "cpu") from error
    from build_engine.openvino.network import build_network
    from build_engine.openvino.quantize import quantise

    checkpoint, recipe = spec.checkpoint, spec.recipe
    progress.phase("network")
    model = build_network(checkpoint.config, checkpoint.tensors())
    weights, note = f"{checkpoint.config.torch_dtype}, as in the checkpoint", ""
    if recipe.weights != "bf16":
        progress.phase("quantisation")
        done = quantise(model, checkpoint.config, recipe, spec.calibration, progress)
        model, weights, note = done.model, done.weights, done.note
    progress.phase("files")
    try:
        ov.save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)
        for name in COPIED_FILES:
            if (checkpoint.folder / name).is_file():
                shutil.copyfile(checkpoint.folder / name, folder / name)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"The engine cannot be written to {folder} ({error}); free disk space or choose "
            "another folder with ENGINEBENCH_HOME."
        ) from error
    return _facts(spec, weights, note)


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


def _facts(spec: EngineSpec, weights: str, note: str) -> BuildFacts:
    properties = runtime_properties(spec.compute, spec.recipe.kv_cache)
    sentences = [note] if note else []
    if spec.compute == "f32":
        sentences.append(
            "This CPU has no bfloat16 arithmetic: products and the KV cache are float32."
        )
    return BuildFacts(
        runtime=properties,
        precision={
            "weights": weights,
            "activations": DTYPE_NAMES[spec.compute],
            "kv_cache": DTYPE_NAMES[properties["KV_CACHE_PRECISION"]],
            "note": " ".join(sentences),
        },
    )
