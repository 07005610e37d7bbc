"""The emulation of a checkpoint answers as Model Optimizer's own simulation of the same job does.

Runs where the pinned Model Optimizer and OpenVINO are installed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset15 as op

import build_engine.trtllm.modelopt as modelopt
from build_engine.checkpoint.checkpoint import Checkpoint, open_checkpoint
from build_engine.errors import EnvironmentFault
from build_engine.progress import NullProgress
from build_engine.trtllm.emulate import (
    Emulated,
    StoredCheckpoint,
    emulated_network,
    read_stored,
)
from build_engine.trtllm.modelopt import library_versions
from build_engine.trtllm.quantise import quantise
from newsbrief import CHECKPOINT
from tests.build_engine.generation import F32, graph_inputs
from tests.build_engine.trtllm.specs import gpu_spec, untied_checkpoint

# Largest error of a layer, as a share of its largest output: a step of INT4 is 16 times as wide.
LARGEST = {"int8_sq_static": 0.02, "fp8": 0.02, "int4_awq": 0.05, "w4a8_awq": 0.05}
# Median error of the logits, as a share of their spread. Each layer is held much tighter.
MEDIAN = {"int8_sq_static": 0.03, "fp8": 0.03, "int4_awq": 0.03, "w4a8_awq": 0.06}


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
def test_layers_and_logits_are_those_of_the_simulation(
    checkpoint: Checkpoint,
    recipe: str,
    settings: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(modelopt, "WORKER", "tests.reference.modelopt_logits")
    monkeypatch.setenv("SIMULATION", str(tmp_path / "simulation.npz"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folder = tmp_path / "out"
    folder.mkdir()
    spec = gpu_spec(checkpoint, recipe, *settings, target="l40s")
    quantise(spec, folder, NullProgress())
    stored = read_stored(folder)
    with np.load(tmp_path / "simulation.npz") as simulated:
        layers = [name.removeprefix("in:") for name in simulated if name.startswith("in:")]
        assert len(layers) == 7 * checkpoint.config.num_layers
        for name in layers:
            expected = simulated[f"out:{name}"]
            error = np.abs(_layer(stored, name, simulated[f"in:{name}"]) - expected)
            # The export rounds weights that lie on the edge of two steps (3 of 100,000) to the
            # other side than the simulation does; all else is the same.
            assert np.median(error) <= 1e-3 * expected.std(), name
            assert error.max() <= LARGEST[recipe] * np.abs(expected).max(), name
        expected = simulated["logits"]
    assert spec.calibration is not None
    ids = spec.calibration.prompts[0].astype(np.int64)[np.newaxis]
    request = ov.Core().compile_model(emulated_network(stored), "CPU", dict(F32))
    found = request.create_infer_request().infer(graph_inputs(ids))["logits"][0]
    # Such a weight moves activations over the edges of their own steps, layer after layer.
    assert np.median(np.abs(found - expected)) <= MEDIAN[recipe] * expected.std()
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.8


def _layer(stored: StoredCheckpoint, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """One emulated linear layer by its Hugging Face name, of values [length, in]."""
    given = op.parameter([1, *values.shape], np.float32)
    network = ov.Model([op.result(Emulated(stored).linear(given, name))], [given], name)
    request = ov.Core().compile_model(network, "CPU", dict(F32)).create_infer_request()
    return np.array(request.infer([values[np.newaxis]])[0][0])
