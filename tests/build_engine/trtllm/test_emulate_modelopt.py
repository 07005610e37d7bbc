"""The emulation of a checkpoint answers as Model Optimizer's own simulation of the same job does.

Runs where the pinned Model Optimizer and OpenVINO are installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import build_engine.trtllm.modelopt as modelopt
from build_engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from build_engine.errors import EnvironmentFault
from build_engine.progress import NullProgress
from build_engine.trtllm.emulate import emulated_network, read_stored
from build_engine.trtllm.modelopt import library_versions
from build_engine.trtllm.quantise import quantise
from newsbrief import CHECKPOINT
from tests.build_engine.generation import F32, graph_inputs
from tests.build_engine.trtllm.specs import gpu_spec, untied_checkpoint


def _installed() -> bool:
    try:
        library_versions()
    except EnvironmentFault:
        return False
    return True


pytestmark = pytest.mark.skipif(not _installed(), reason="the pinned Model Optimizer is not here")


@pytest.fixture(params=["newsbrief", "untied"])
def checkpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Checkpoint:
    if request.param == "newsbrief":
        return open_checkpoint(CHECKPOINT, "newsbrief")
    return untied_checkpoint(tmp_path / "untied", dtype="BF16")


@pytest.mark.parametrize(
    ("recipe", "settings"),
    [
        ("int8_sq_static", ["kv_cache=fp16"]),
        ("int4_awq", []),
        ("fp8", ["kv_cache=bf16"]),
        ("w4a8_awq", ["kv_cache=fp16"]),
    ],
)
def test_logits_are_those_of_the_simulation(
    checkpoint: Checkpoint,
    recipe: str,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import openvino as ov

    monkeypatch.setattr(modelopt, "WORKER", "tests.reference.modelopt_logits")
    monkeypatch.setenv("LOGITS_TO", str(tmp_path / "logits.npy"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "out"
    folder.mkdir()
    spec = gpu_spec(checkpoint, recipe, *settings, target="l40s")
    quantise(spec, folder, NullProgress())
    expected = np.load(tmp_path / "logits.npy")
    assert spec.calibration is not None
    ids = spec.calibration.prompts[0].astype(np.int64)[np.newaxis]
    network = emulated_network(read_stored(folder))
    request = ov.Core().compile_model(network, "CPU", dict(F32)).create_infer_request()
    found = request.infer(graph_inputs(ids))["logits"][0]
    error = np.abs(found - expected)

    # A value on the edge of two steps may fall to either side; all others are the same.
    assert np.median(error) <= 0.02 * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.9
