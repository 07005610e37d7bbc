"""The process that calibrates and quantises a model with NVIDIA's Model Optimizer, on a GPU or CPU.

    python -m build_engine.trtllm.modelopt_worker FOLDER

`FOLDER` holds a job (`modelopt_job`). The model is loaded in the type of the checkpoint to be
written, moved to the GPU where there is one, and shown each prompt by itself; the head is left out,
as nothing of it is quantised. The library's own export is written beside the job.
"""

from __future__ import annotations

import copy
import json
import os
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from build_engine.errors import EnvironmentFault
from build_engine.files import read_json, write_json
from build_engine.gpu import read_gpu
from build_engine.peak_memory import peak_bytes
from build_engine.trtllm.algorithm import PER_TENSOR, PER_TOKEN
from build_engine.trtllm.modelopt_job import (
    JOB_FILE,
    LENGTHS_FILE,
    OUTCOME_FILE,
    PROMPTS_FILE,
    Job,
    Outcome,
    Told,
)
from build_engine.validation import validated

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

REPORT_EVERY = 32  # prompts
CONFIGS = {
    PER_TOKEN: "INT8_SMOOTHQUANT_CFG",
    PER_TENSOR: "INT8_SMOOTHQUANT_CFG",
    "W4A16_AWQ": "INT4_AWQ_CFG",
    "W4A8_AWQ": "W4A8_AWQ_BETA_CFG",
    "FP8": "FP8_DEFAULT_CFG",
}
KV_BITS = {"INT8": 8, "FP8": (4, 3)}


def main(folder: Path) -> Any:
    """Do the job in `folder` and return the model, which computes as if it were quantised; raises
    whatever the libraries raise.
    """
    job = validated(Job, read_json(folder / JOB_FILE, EnvironmentFault, "start it again"))
    channel = _own_channel()

    def tell(phase: str = "", note: str = "", fault: str = "") -> None:
        channel.write(json.dumps(Told(phase=phase, note=note, fault=fault).model_dump()) + "\n")
        channel.flush()

    tell("loading")
    _hide_tensorrt_llm()
    import modelopt.torch.export as export
    import modelopt.torch.quantization as quantization
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    random.seed(job.seed)
    np.random.seed(job.seed)
    torch.manual_seed(job.seed)
    dtype = getattr(torch, job.dtype)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device.type == "cuda":
        _require_memory(job, tell)
    model = AutoModelForCausalLM.from_pretrained(job.checkpoint, torch_dtype=dtype)
    model = model.eval().to(device)
    tell("calibration")
    config = _config(quantization, job)
    quantization.quantize(model, config, _forward_loop(_prompts(folder, device), tell))
    tell("export")
    with torch.no_grad():
        if job.quant_algo == PER_TOKEN:
            _share_factors(model)
        export.export_tensorrt_llm_checkpoint(
            model,
            decoder_type="llama",
            dtype=dtype,
            export_dir=str(folder),
            inference_tensor_parallel=1,
            inference_pipeline_parallel=1,
        )
    on_gpu = device.type == "cuda"
    outcome = Outcome(
        device=torch.cuda.get_device_name() if on_gpu else "CPU",
        peak_host_bytes=peak_bytes(),
        peak_gpu_bytes=torch.cuda.max_memory_allocated() if on_gpu else 0,
        algorithm=json.dumps(config["algorithm"]),
    )
    write_json(folder / OUTCOME_FILE, outcome.model_dump())
    return model


def _require_memory(job: Job, tell: Callable[..., None]) -> None:
    """Tell of a GPU that others fill, and end, before the model is loaded. Where NVML cannot be
    asked, the GPU says so itself, later.
    """
    try:
        gpu = read_gpu()
    except EnvironmentFault:
        return
    try:
        gpu.require_free(
            job.weight_bytes,
            "quantising this checkpoint needs",
            "hide the GPU (CUDA_VISIBLE_DEVICES=) to quantise on the CPU",
        )
    except EnvironmentFault as fault:
        tell(fault=str(fault))
        sys.exit(fault.exit_code)


def _own_channel() -> TextIO:
    """Standard output for us alone: what libraries print goes to the log with their warnings."""
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return channel


def _hide_tensorrt_llm() -> None:
    """Model Optimizer does not need that library and imports it where it finds it, to describe the
    checkpoint, which we do ourselves. The import takes a minute and starts MPI, which can end a
    process that has just calibrated for hours.
    """
    sys.modules["tensorrt_llm"] = None  # type: ignore[assignment]  # as `import` takes it


def _config(quantization: Any, job: Job) -> Any:
    """The library's configuration of the job: its own by name, with what is said of it."""
    if job.quant_algo is None:
        config: Any = {"quant_cfg": {"default": {"enable": False}}, "algorithm": "max"}
    else:
        config = copy.deepcopy(getattr(quantization, CONFIGS[job.quant_algo]))
    quantizers = config["quant_cfg"]
    if job.smoothquant_alpha is not None:
        config["algorithm"] = {"method": "smoothquant", "alpha": job.smoothquant_alpha}
    weights = quantizers.get("*weight_quantizer")
    first = weights[0] if isinstance(weights, list) else weights
    if first and "block_sizes" in first:
        first["block_sizes"][-1] = job.group_size
    if job.kv_cache is not None:
        cache = {"num_bits": KV_BITS[job.kv_cache], "axis": None, "enable": True}
        quantizers["*[kv]_bmm_quantizer"] = cache
    return config


def _share_factors(model: Any) -> None:
    """Give gate and up, which read the same norm, one smoothing factor: the norm can hold one. The
    library does this by itself for query, key and value, and for FP8.
    """
    from modelopt.torch.export.quant_utils import preprocess_linear_fusion

    for layer in model.model.layers:
        preprocess_linear_fusion([layer.mlp.gate_proj, layer.mlp.up_proj])


def _prompts(folder: Path, device: torch.device) -> list[torch.Tensor]:
    """Each prompt as a batch of one."""
    import numpy as np
    import torch

    lengths = np.load(folder / LENGTHS_FILE)
    ids = torch.from_numpy(np.load(folder / PROMPTS_FILE).astype(np.int64))
    return [part[None].to(device) for part in ids.split(lengths.tolist())]


def _forward_loop(prompts: list[torch.Tensor], tell: Callable[..., None]) -> Callable[[Any], None]:
    """What shows a model the prompts; the library calls it once or twice."""

    def show(model: Any) -> None:
        for number, prompt in enumerate(prompts):
            if number and number % REPORT_EVERY == 0:
                tell(note=f"{number} of {len(prompts)} calibration prompts")
            model.model(prompt, use_cache=False)

    return show


if __name__ == "__main__":
    main(Path(sys.argv[1]))
