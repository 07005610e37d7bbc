"""A CPU engine that carries out the arithmetic of a GPU recipe: its accuracy, never its speed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from build_engine.errors import MissingLibrary, OutputError
from build_engine.openvino.compile import MODEL_FILE, runtime_properties
from build_engine.store.spec import BuildFacts
from build_engine.target import Detected
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.artefact import quantised_checkpoint
from build_engine.trtllm.quantise import precision

if TYPE_CHECKING:
    from pathlib import Path

    from build_engine.progress import BuildProgress
    from build_engine.store.spec import EngineSpec
    from build_engine.target import Target

COMPUTE = "f32"


def compute(target: Target) -> Detected[str]:
    """What the GPU would round to 16 bits is float32."""
    return Detected(COMPUTE, "emulated")


def compile_engine(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
    """Write the engine of `spec` into the existing `folder` and return what its manifest must say.

    Raises MissingLibrary without OpenVINO, OutputError when the folder cannot be written, and what
    quantising raises.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise MissingLibrary("openvino", "cpu") from error
    from build_engine.trtllm.emulate import emulated_network, read_stored

    checkpoint = quantised_checkpoint(spec, progress)
    progress.phase("emulation")
    model = emulated_network(read_stored(checkpoint))
    try:
        ov.save_model(model, str(folder / MODEL_FILE), compress_to_fp16=False)
        for file in spec.checkpoint.companions:
            shutil.copyfile(file, folder / file.name)
    except (OSError, RuntimeError) as error:
        raise OutputError(
            f"The engine cannot be written to {folder} ({error}); free disk space or choose "
            "another folder with ENGINEBENCH_HOME."
        ) from error
    return BuildFacts(
        runtime=runtime_properties(COMPUTE, COMPUTE),
        precision=precision(format_of(spec.recipe), spec.recipe),
        weight_types=(spec.recipe.weights,),
        group_size=spec.recipe.group_size,
        num_prompts=len(spec.calibration.prompts) if spec.calibration else 0,
    )
