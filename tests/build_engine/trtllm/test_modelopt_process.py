"""The process that runs Model Optimizer is asked exactly, told apart by how it ends, and heard."""

from __future__ import annotations

from pathlib import Path

import pytest

import build_engine.trtllm.modelopt as modelopt
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.errors import EnginebenchError, EnvironmentFault, RunFailed
from build_engine.trtllm.algorithm import format_of
from build_engine.trtllm.modelopt import run_job
from build_engine.trtllm.modelopt_job import Outcome
from tests.build_engine.specs import Notes
from tests.build_engine.trtllm.specs import gpu_spec, untied_checkpoint
from tests.build_engine.trtllm.stand_in_worker import HOW


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

    assert done.algorithm == "1234"  # the seed, which the stand-in gives back
    assert told.phases == ["calibration"]
    assert told.notes == ["4 prompts, 102 ids"]


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
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
