"""Specs of GPU engines, and a stand-in for Model Optimizer that exports random values."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from build_engine.build import make_spec
from build_engine.calibration import CalibrationSet, calibration_set
from build_engine.checkpoint.architecture import LlamaConfig
from build_engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from build_engine.checkpoint.safetensors_file import read_tensors
from build_engine.config import apply_overrides
from build_engine.progress import BuildProgress
from build_engine.recipe import load_recipe
from build_engine.store.limits import EngineLimits
from build_engine.store.spec import EngineSpec
from build_engine.target import load_target
from build_engine.trtllm.algorithm import PER_TENSOR, PER_TOKEN, QuantFormat
from build_engine.trtllm.layout import tensors
from build_engine.trtllm.modelopt_job import Outcome
from build_engine.trtllm.shards import write_ranks
from tests.build_engine.checkpoints import HF_UNTIED, write_checkpoint

UNTIED = replace(
    HF_UNTIED, hidden_size=384, intermediate_size=768, head_dim=64, num_layers=2, std=0.05
)
"""Three query heads per KV head, an untied head, llama3 rope, and sizes that have kernels."""


def gpu_spec(
    checkpoint: Checkpoint,
    recipe: str,
    *settings: str,
    target: str = "a30",
    tensor_parallel: int = 1,
    prompts: int = 4,
) -> EngineSpec:
    """A spec whose calibrated recipes get `prompts` random prompts."""
    chosen = apply_overrides(load_recipe(recipe), settings)
    calibration = None
    if chosen.is_calibrated:
        chosen = apply_overrides(chosen, [f"calibration_samples={prompts}"])
        calibration = random_prompts(checkpoint.config.vocab_size, prompts)
    limits = EngineLimits(max_input_len=64, max_seq_len=96, tensor_parallel=tensor_parallel)
    return make_spec(checkpoint, load_target(target), chosen, limits, calibration)


def random_prompts(vocab_size: int, count: int) -> CalibrationSet:
    rng = np.random.default_rng(3)
    ids = [rng.integers(3, vocab_size, 24 + position, np.int32) for position in range(count)]
    return calibration_set("random", ids)


def untied_checkpoint(folder: Path, **changes: Any) -> Checkpoint:
    return open_checkpoint(write_checkpoint(folder, UNTIED, **changes))


def written(folder: Path, rank: int = 0) -> dict[str, NDArray[Any]]:
    """The stored values of one rank, bits where numpy lacks the type."""
    stored = read_tensors([folder / f"rank{rank}.safetensors"])
    return {name: np.array(tensor.raw()) for name, tensor in stored.items()}


class RandomExport:
    """Takes the place of `run_job`: writes an export of the right layout, except where told."""

    def __init__(self) -> None:
        self.jobs = 0
        self.changes: dict[str, NDArray[Any] | None] = {}
        """What to write instead, by name; None leaves the tensor out."""

    def __call__(
        self,
        checkpoint: Checkpoint,
        form: QuantFormat,
        alpha: float | None,
        calibration: CalibrationSet,
        folder: Path,
        progress: BuildProgress,
    ) -> Outcome:
        self.jobs += 1
        progress.phase("calibration")
        layout = PER_TENSOR if form.quant_algo == PER_TOKEN else form.quant_algo
        exported = replace(form, quant_algo=None if form.is_plain else layout)
        values = random_export(checkpoint.config, exported)
        values |= {name: value for name, value in self.changes.items() if value is not None}
        specs = tensors(checkpoint.config, exported)
        kept = {name: specs[name] for name in specs if self.changes.get(name, "") is not None}
        write_ranks(folder, kept, values.__getitem__)
        return Outcome(device="CPU", peak_host_bytes=1000, peak_gpu_bytes=0, algorithm='"max"')


def random_export(config: LlamaConfig, form: QuantFormat) -> dict[str, NDArray[Any]]:
    """Values of every tensor; what reads one norm has one smoothing factor."""
    rng = np.random.default_rng(11)
    found: dict[str, NDArray[Any]] = {}
    for name, spec in tensors(config, form).items():
        if spec.dtype == "I8":
            found[name] = rng.integers(-127, 128, spec.shape).astype(np.int8)
        elif spec.dtype == "F32":
            small = 0.02 if form.is_grouped or "weights" not in name else 1e-3
            found[name] = rng.uniform(0.5 * small, small, spec.shape).astype(np.float32)
        elif spec.dtype == "F16":
            found[name] = rng.uniform(0.5, 2, spec.shape).astype(np.float16)
        else:  # bits: of bfloat16 between 0.5 and 1, of E4M3
            low, high, item = (0x3F00, 0x3F80, "u2") if spec.dtype == "BF16" else (0x30, 0x38, "u1")
            found[name] = rng.integers(low, high, spec.shape).astype(item)
    for name in list(found):
        if name.endswith("mlp.gate.prequant_scaling_factor"):
            found[name] = found[name.replace("mlp.gate", "mlp.fc")]
    return found
