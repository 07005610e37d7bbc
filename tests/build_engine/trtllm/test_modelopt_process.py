"""The process that runs Model Optimizer is asked exactly, told apart by how it ends, and heard."""

from __future__ import annotations

import importlib
import math
import sys
from pathlib import Path

import pytest

import build_engine.trtllm.modelopt as modelopt
import build_engine.trtllm.modelopt_worker as modelopt_worker
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.checkpoint.safetensors_file import read_tensors
from build_engine.errors import EnginebenchError, EnvironmentFault, RunFailed
from build_engine.files import read_json
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.modelopt import run_job
from build_engine.trtllm.modelopt_job import JOB_FILE, Job, Outcome
from tests.build_engine.specs import Notes
from tests.build_engine.trtllm.specs import gpu_spec, untied_checkpoint
from tests.build_engine.trtllm.stand_in_worker import HOW
from tests.nvml_double import Card, install_nvml, not_supported


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkpoint:
    monkeypatch.setattr(modelopt, "WORKER", "tests.build_engine.trtllm.stand_in_worker")
    return untied_checkpoint(tmp_path / "untied")


def run(checkpoint: Checkpoint, folder: Path, told: Notes) -> Outcome:
    folder.mkdir()
    spec = gpu_spec(checkpoint, "int8_sq")
    assert spec.calibration is not None
    form = format_of(spec.recipe)
    return run_job(checkpoint, form, 0.5, spec.calibration, folder, told)


def test_a_job_is_done_and_what_it_tells_is_passed_on(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(HOW, "well")
    told = Notes()
    done = run(checkpoint, tmp_path / "job", told)

    job = read_json(tmp_path / "job" / JOB_FILE, RunFailed, "")
    stored = read_tensors(sorted(checkpoint.folder.glob("*.safetensors")))
    assert job["weight_bytes"] == 2 * sum(math.prod(each.shape) for each in stored.values())
    assert done.algorithm == "1234"  # the seed, which the stand-in gives back
    assert told.phases == ["calibration"]
    assert told.notes == ["4 prompts, 102 ids"]


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ("without memory", EnvironmentFault, "NVIDIA A30 has 1.0 GB of memory free."),
        ("killed", EnvironmentFault, "Quantising was killed, most likely for its memory"),
        (
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
            EnvironmentFault,
            "too little free memory to quantise (torch.OutOfMemoryError: CUDA out of memory.",
        ),
        ("ValueError: no such key", RunFailed, "failed with exit code 1: ValueError: no such key;"),
    ],
)
def test_each_way_to_fail_has_its_sentence(
    checkpoint: Checkpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
    error: type[EnginebenchError],
    words: str,
) -> None:
    monkeypatch.setenv(HOW, how)

    with pytest.raises(error) as caught:
        run(checkpoint, tmp_path / "job", Notes())

    assert words in str(caught.value)


def test_nothing_of_a_process_manager_reaches_it(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLURM_JOB_ID", "PMIX_RANK", "OMPI_COMM_WORLD_RANK"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv(HOW, "managed")

    assert run(checkpoint, tmp_path / "job", Notes()).algorithm == "without"


def test_model_optimizer_finds_no_tensorrt_llm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tensorrt_llm").mkdir()
    (tmp_path / "tensorrt_llm" / "__init__.py").write_text("__version__ = '1.2.1'\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "tensorrt_llm", sys)  # nothing of this is left afterwards
    del sys.modules["tensorrt_llm"]
    assert importlib.import_module("tensorrt_llm").__version__ == "1.2.1"

    del sys.modules["tensorrt_llm"]
    modelopt_worker._hide_tensorrt_llm()
    for name in ("tensorrt_llm", "tensorrt_llm.models"):
        with pytest.raises(ImportError):
            importlib.import_module(name)


def test_a_gpu_that_others_fill_is_told_of_before_the_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = Job(
        checkpoint="a",
        quant_algo=None,
        kv_cache="INT8",
        dtype="float16",
        group_size=128,
        smoothquant_alpha=None,
        seed=1,
        weight_bytes=16 * 10**9,
    )
    faults: list[str] = []

    def tell(*, fault: str) -> None:
        faults.append(fault)

    install_nvml(monkeypatch, Card(free=20 * 10**9))
    modelopt_worker._require_memory(job, tell)
    install_nvml(monkeypatch, Card(free=20 * 10**9), nvmlInit=not_supported)
    modelopt_worker._require_memory(job, tell)
    assert faults == []

    install_nvml(monkeypatch, Card(free=10**9, processes=((2**22 + 1, 23 * 10**9),)))
    with pytest.raises(SystemExit) as caught:
        modelopt_worker._require_memory(job, tell)
    assert caught.value.code == 3
    (told,) = faults
    assert "needs about 16.0 GB, 15.0 GB more: process 4194305 (outside of this" in told
    assert "CUDA_VISIBLE_DEVICES=) to quantise on the CPU" in told
