"""A CPU engine that carries out the arithmetic of a GPU recipe: its accuracy, never its speed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.openvino.compile import require_openvino, runtime_properties, save_engine
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
    require_openvino()
    from build_engine.trtllm.emulate import emulated_network, read_stored

    checkpoint = quantised_checkpoint(spec, progress)
    progress.phase("emulation")
    save_engine(emulated_network(read_stored(checkpoint)), spec.checkpoint, folder)
    return BuildFacts(
        runtime=runtime_properties(COMPUTE, COMPUTE),
        precision=precision(format_of(spec.recipe), spec.recipe),
        weight_types=(spec.recipe.weights,),
        group_size=spec.recipe.group_size,
        num_prompts=len(spec.calibration.prompts) if spec.calibration else 0,
    )
