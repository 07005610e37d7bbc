"""A machine with an A30 and TensorRT-LLM, as far as a build looks: NVML, versions, PATH, and a
checkpoint that somebody has quantised.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.progress import BuildProgress
from build_engine.recipe import load_recipe
from build_engine.store.limits import EngineLimits
from build_engine.store.spec import EngineSpec
from build_engine.target import load_target
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.description import description
from build_engine.trtllm.fit import fitted
from build_engine.trtllm.pin import PIN
from newsbrief import CHECKPOINT
from tests.nvml_double import Card, nvml_module

DOUBLE = Path(__file__).with_name("build_double.py")
CHECKPOINTS = "CHECKPOINTS_OF_THE_TEST"


def make_spec(
    recipe: str = "int8_sq", target: str = "a30", profile: str = "throughput", **changed: object
) -> EngineSpec:
    """newsbrief in the lengths of its workload; `changed` are fields of the recipe."""
    rules = load_recipe(recipe).model_copy(update=changed)
    checkpoint, gpu = open_checkpoint(CHECKPOINT, "newsbrief"), load_target(target)
    limits = EngineLimits(max_input_len=640, max_seq_len=768)
    limits = fitted(limits, checkpoint.config, rules, gpu, profile, False).limits
    return EngineSpec(checkpoint, gpu, rules, limits, None, f"sm_{gpu.sm}", profile)


def split(spec: EngineSpec, parts: int) -> EngineSpec:
    """The same for so many GPUs."""
    return replace(spec, limits=replace(spec.limits, tensor_parallel=parts))


def checkpoint_config(spec: EngineSpec) -> dict[str, object]:
    """TensorRT-LLM's config.json of the checkpoint of a spec, as ours says it."""
    form, parts = format_of(spec.recipe), spec.limits.tensor_parallel
    return description(spec.checkpoint.config, form, spec.recipe.rules, parts)


def quantised_checkpoint(spec: EngineSpec, progress: BuildProgress) -> Path:
    """In the place of the one that quantises."""
    progress.phase("quantisation")
    folder = Path(os.environ[CHECKPOINTS])
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(checkpoint_config(spec)))
    for rank in range(spec.limits.tensor_parallel):
        (folder / f"rank{rank}.safetensors").write_bytes(b"weights")
    return folder


def fake_nvml(**changed: Any) -> ModuleType:
    """A pynvml of one A30 whose memory is free; `changed` are its functions."""
    return nvml_module(Card(), **changed)


def set_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, **versions: str) -> None:
    """Make this process believe that it runs there; `versions` are others than the pinned ones."""
    monkeypatch.setitem(sys.modules, "pynvml", fake_nvml())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    known = PIN.distributions | {name.replace("_", "-"): text for name, text in versions.items()}
    really = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: known.get(name) or really(name))
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "trtllm-build"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{DOUBLE}" "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv(CHECKPOINTS, str(tmp_path / "checkpoint"))
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("build_engine.trtllm.compile.quantised_checkpoint", quantised_checkpoint)
