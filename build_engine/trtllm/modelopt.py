"""NVIDIA's Model Optimizer, run in a process of its own, and its export held against the layout.

What it exports is read by name; what the layout does not expect, or expects and does not find, is
an error, because the builder would only warn of the one and fail late at the other.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.safetensors_file import StoredTensor, read_tensors
from build_engine.errors import EnvironmentFault, RunFailed
from build_engine.files import Unreadable, parse_json, read_json, write_json
from build_engine.libraries import installed_version
from build_engine.roofline.memory import checkpoint_bytes
from build_engine.trtllm.environment import without_launchers
from build_engine.trtllm.layout import KV_SCALE, tensors
from build_engine.trtllm.modelopt_job import (
    JOB_FILE,
    LENGTHS_FILE,
    LOG_FILE,
    OUTCOME_FILE,
    PROMPTS_FILE,
    SEED,
    Job,
    Outcome,
    Told,
)
from build_engine.trtllm.pin import PIN
from build_engine.validation import Invalid, validated

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.calibration import CalibrationSet
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.progress import BuildProgress
    from build_engine.trtllm.algorithm import QuantFormat

MODELOPT, TRANSFORMERS, TORCH = "nvidia-modelopt", "transformers", "torch"
LIBRARIES = (MODELOPT, TRANSFORMERS, TORCH)
INSTALL = " ".join(
    (
        f"pip install torch '{MODELOPT}=={PIN.modelopt}'",
        f"'{TRANSFORMERS}=={PIN.transformers}' accelerate",
    )
)
WORKER = "build_engine.trtllm.modelopt_worker"
_KILLED = -9
_LOG_WORDS = 300  # characters of the log's last line in a sentence


def library_versions() -> dict[str, str]:
    """Versions of the libraries that calibrate. Raises EnvironmentFault for one that is not
    installed or that would quantise otherwise than it was read to.
    """
    found = {}
    for library in LIBRARIES:
        version = installed_version(library)
        if version is None:
            raise EnvironmentFault(
                f"`{library}` is not installed, and this recipe is calibrated with NVIDIA's Model "
                f"Optimizer; install it with: {INSTALL}"
            )
        found[library] = version
    if _line(found[MODELOPT], 2) != _line(PIN.modelopt, 2):
        raise EnvironmentFault(
            f"`{MODELOPT}` is {found[MODELOPT]}, and checkpoints for TensorRT-LLM "
            f"{PIN.tensorrt_llm} are made with {PIN.modelopt}, whose settings other versions do "
            f"not take; install it with: {INSTALL}"
        )
    if _line(found[TRANSFORMERS], 1) != _line(PIN.transformers, 1):
        raise EnvironmentFault(
            f"`{TRANSFORMERS}` is {found[TRANSFORMERS]}, with which Model Optimizer "
            f"{PIN.modelopt} silently loses the rotary base and scaling of a Llama; install it "
            f"with: {INSTALL}"
        )
    return found


def run_job(
    checkpoint: Checkpoint,
    form: QuantFormat,
    alpha: float | None,
    calibration: CalibrationSet,
    folder: Path,
    progress: BuildProgress,
) -> Outcome:
    """Quantise in a process of its own; its export is then in the existing `folder`.

    Raises EnvironmentFault when its GPU has too little memory free, or when it was killed for its
    memory, RunFailed when it failed.
    """
    import numpy as np

    job = Job(
        checkpoint=str(checkpoint.folder.absolute()),
        quant_algo=None if form.is_plain else form.quant_algo,
        kv_cache=form.kv_cache_quant_algo,
        dtype=form.dtype,
        group_size=form.group_size,
        smoothquant_alpha=alpha,
        seed=SEED,
        weight_bytes=checkpoint_bytes(checkpoint.config),
    )
    write_json(folder / JOB_FILE, job.model_dump())
    np.save(folder / LENGTHS_FILE, np.array([len(p) for p in calibration.prompts], np.int64))
    np.save(folder / PROMPTS_FILE, np.concatenate(calibration.prompts))
    with (
        (folder / LOG_FILE).open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", WORKER, str(folder)],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env=without_launchers(os.environ),
        ) as process,
    ):
        try:
            assert process.stdout is not None
            for line in process.stdout:
                _pass_on(line, progress)
        except BaseException:  # nothing of ours goes on after Ctrl-C
            process.kill()
            raise
    if process.returncode != 0:
        raise _failure(process.returncode, folder / LOG_FILE)
    answer = read_json(folder / OUTCOME_FILE, RunFailed, "quantise again")
    return validated(Outcome, answer)


def exported(folder: Path, config: LlamaConfig, form: QuantFormat) -> Mapping[str, StoredTensor]:
    """What Model Optimizer wrote into `folder`, complete, of the types and shapes of `form`.

    Raises RunFailed for anything else, and for a scale that is not a positive number.
    """
    found = read_tensors(sorted(folder.glob("rank*.safetensors")))
    wanted = tensors(config, form)
    for name, spec in wanted.items():
        tensor = found.get(name)
        told = "nothing" if tensor is None else f"{tensor.dtype} {list(tensor.shape)}"
        if tensor is None or (tensor.dtype, tensor.shape) != (spec.dtype, spec.shape):
            raise RunFailed(
                f"Model Optimizer wrote {told} as {name}, and TensorRT-LLM reads {spec.dtype} "
                f"{list(spec.shape)}; install the pinned versions: {INSTALL}"
            )
        if name.endswith("scaling_factor"):
            _check_scale(name, tensor)
    caches = [name for name in wanted if name.endswith(KV_SCALE)]
    halves = {name.replace("kv_cache", f"{half}_cache") for name in caches for half in "kv"}
    extra = sorted(found.keys() - wanted.keys() - halves)
    if extra:
        raise RunFailed(
            f"Model Optimizer wrote {extra[0]}, which {form.quant_algo} checkpoints do not have; "
            f"install the pinned versions: {INSTALL}"
        )
    return found


def kv_scales(found: Mapping[str, StoredTensor]) -> dict[str, NDArray[np.float32]]:
    """The exported scales of the KV cache, by name."""
    return {name: found[name].float32() for name in found if name.endswith(KV_SCALE)}


def _check_scale(name: str, tensor: StoredTensor) -> None:
    import numpy as np

    values = tensor.float32()
    if not (np.isfinite(values).all() and (values > 0).all()):
        raise RunFailed(
            f"Model Optimizer wrote a scale in {name} that is not a positive number; give other "
            "calibration prompts."
        )


def _pass_on(line: str, progress: BuildProgress) -> None:
    try:
        told = validated(Told, parse_json(line))
    except (Unreadable, Invalid):
        return  # a library that writes to the descriptor itself
    if told.fault:
        raise EnvironmentFault(told.fault)
    if told.phase:
        progress.phase(told.phase)
    if told.note:
        progress.note(told.note)


def _failure(code: int, log: Path) -> EnvironmentFault | RunFailed:
    if code == _KILLED:
        return EnvironmentFault(
            "Quantising was killed, most likely for its memory: it needs that of the whole model "
            "in 16 bits, twice while it exports; free memory, or quantise on a larger machine."
        )
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    said = next((line for line in reversed(lines) if line), "no message")
    if "OutOfMemoryError" in said:
        return EnvironmentFault(
            f"The GPU has too little free memory to quantise ({said[:_LOG_WORDS]}); end what else "
            "uses it, or hide it (CUDA_VISIBLE_DEVICES=) to quantise on the CPU."
        )
    return RunFailed(
        f"Model Optimizer failed with exit code {code}: {said[:_LOG_WORDS]}; see that its pinned "
        f"versions are installed: {INSTALL}"
    )


def _line(version: str, parts: int) -> list[str]:
    return version.split(".")[:parts]
