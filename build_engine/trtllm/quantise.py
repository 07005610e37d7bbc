"""From a Hugging Face checkpoint to a quantised TensorRT-LLM one: `config.json` and the weights of
each GPU.

Weight-only recipes and those without quantisation need no model in memory: the library quantises
their weights itself when it compiles, so they are copied tensor by tensor into its names. All
others, and an INT8 KV cache, are calibrated with NVIDIA's Model Optimizer on the recipe's prompts:
the model then lies in 16 bits on the GPU (8B: 16 GB) or, without one, in host memory, and its
export needs as much host memory again. The library's own script is not used: it insists on a GPU
and loses an INT8 KV cache without a word.

`algorithm.py` says what a recipe is called there, `layout.py` which tensors such a checkpoint has,
and `modelopt_worker.py` is the process that calibrates. `compile.py` takes it from here.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.values import check_values
from build_engine.errors import RecipeRefused
from build_engine.peak_memory import forget_peak, peak_bytes
from build_engine.store.manifest import Precision
from build_engine.trtllm.algorithm import PER_TENSOR, PER_TOKEN, NoSuchFormat, format_of
from build_engine.trtllm.description import write_description
from build_engine.trtllm.form import is_calibrated
from build_engine.trtllm.layout import KV_SCALE, check_shapes, tensors
from build_engine.trtllm.modelopt import exported, kv_scales, run_job
from build_engine.trtllm.shards import plain_source, write_ranks
from build_engine.trtllm.smoothquant import per_token_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from build_engine.progress import BuildProgress
    from build_engine.recipe import RecipeRules
    from build_engine.store.spec import EngineSpec
    from build_engine.trtllm.algorithm import QuantFormat
    from build_engine.trtllm.shards import Source

QUANTISER = 1
"""Of this code: raised whenever it writes another checkpoint for the same recipe."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """What is known of a checkpoint that has just been written. `algorithm` is what Model Optimizer
    was given, as JSON; "" where it was not needed.
    """

    precision: Precision
    num_prompts: int
    device: str
    peak_host_bytes: int
    peak_gpu_bytes: int
    algorithm: str


def format_for(spec: EngineSpec) -> QuantFormat:
    """The format of a spec. Raises RecipeRefused where there is none, or the checkpoint's shapes
    do not suit it, and ConfigError for a number of GPUs that does not divide them.
    """
    try:
        form = format_of(spec.recipe)
    except NoSuchFormat as reason:
        raise RecipeRefused(f"`{spec.recipe.name}` is refused: {reason}.") from None
    check_shapes(spec.checkpoint.config, form, spec.limits.tensor_parallel)
    return form


def quantise(spec: EngineSpec, folder: Path, progress: BuildProgress) -> Quantised:
    """Write the checkpoint of `spec` into the existing `folder`.

    Raises what `format_for`, `check_values`, `run_job` and `exported` raise, and OSError.
    """
    form = format_for(spec)
    config, recipe, ranks = spec.checkpoint.config, spec.recipe, spec.limits.tensor_parallel
    check_values(spec.checkpoint)
    forget_peak()
    work = folder / "export"
    work.mkdir()
    device, gpu_bytes, algorithm, num_prompts = "CPU", 0, "", 0
    host_bytes = 0
    if is_calibrated(form):
        calibration = spec.calibration
        assert calibration is not None, "support.refusal wants prompts for what is calibrated"
        alpha = recipe.smoothquant_alpha
        done = run_job(spec.checkpoint, form, alpha, calibration, work, progress)
        device, host_bytes, gpu_bytes = done.device, done.peak_host_bytes, done.peak_gpu_bytes
        algorithm, num_prompts = done.algorithm, len(calibration.prompts)
    progress.phase("weights")
    write_ranks(folder, tensors(config, form), _source(spec, form, work), ranks)
    write_description(folder, config, form, recipe, ranks)
    shutil.rmtree(work)
    return Quantised(
        precision=precision(form, recipe),
        num_prompts=num_prompts,
        device=device,
        peak_host_bytes=host_bytes or peak_bytes(),
        peak_gpu_bytes=gpu_bytes,
        algorithm=algorithm,
    )


def precision(form: QuantFormat, recipe: RecipeRules) -> Precision:
    """What an engine of this checkpoint computes with, in words."""
    weights = {
        None: form.dtype,
        "W8A16": "int8, one scale per output channel",
        "W4A16": "int4, one scale per output channel",
        "FP8": "fp8 (E4M3), one scale per layer",
    }
    if form.is_grouped:
        weight = f"int4, groups of {form.group_size}"
    else:
        weight = weights.get(form.quant_algo, "int8, one scale per output channel")
    activations = {
        PER_TOKEN: "int8, one scale per token",
        PER_TENSOR: "int8, one scale per layer",
        "W4A8_AWQ": "fp8 (E4M3), one scale per layer",
        "FP8": "fp8 (E4M3), one scale per layer",
    }
    note = ""
    if form.quant_algo == "W4A16" and recipe.group_size is not None:
        note = (
            f"TensorRT-LLM's W4A16 has no groups: the recipe's {recipe.group_size} are those of "
            "the CPU engine."
        )
    return Precision(
        weights=weight,
        activations=activations.get(form.quant_algo or "", form.dtype),
        kv_cache=(form.kv_cache_quant_algo or form.dtype).lower(),
        note=note,
    )


def _source(spec: EngineSpec, form: QuantFormat, work: Path) -> Source:
    """Where each tensor comes from."""
    config = spec.checkpoint.config
    if not is_calibrated(form):
        return _with_kv_scales(plain_source(spec.checkpoint, form), {})
    if form.is_plain:
        found = exported(work, config, replace(form, quant_algo=None))
        return _with_kv_scales(plain_source(spec.checkpoint, form), kv_scales(found))
    if form.quant_algo == PER_TOKEN:
        return per_token_source(exported(work, config, replace(form, quant_algo=PER_TENSOR)))
    found = exported(work, config, form)
    return lambda name: found[name].raw()


def _with_kv_scales(source: Source, scales: Mapping[str, NDArray[np.float32]]) -> Source:
    """`source`, and the scales of the KV cache: measured ones, or 1, which is what Model Optimizer
    gives every FP8 cache whose values E4M3 holds as they are.
    """

    def values(name: str) -> NDArray[Any]:
        import numpy as np

        if name.endswith(KV_SCALE):
            return scales.get(name, np.ones(1, np.float32))
        return source(name)

    return values
