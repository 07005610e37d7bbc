"""Smoothing changes what is rounded, and nothing else: the network stays the same function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray

from build_engine.calibration import calibration_set
from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.openvino.network import build_network
from build_engine.openvino.samples import calibration_samples
from build_engine.openvino.smoothquant import SmoothedNetwork, input_ranges
from build_engine.progress import NullProgress
from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.generation import F32, graph_inputs

PROMPT = np.array([[5, 17, 80, 3, 44, 61, 9, 23]])


def logits(model: ov.Model) -> NDArray[np.float32]:
    found: NDArray[np.float32] = ov.Core().compile_model(model, "CPU", F32)(graph_inputs(PROMPT))[0]
    return found


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"attention_bias": True, "mlp_bias": True, "tied": False, "dtype": "BF16"},
        {"num_heads": 6, "num_kv_heads": 2, "head_dim": 16, "hidden_size": 96},
    ],
)
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_a_smoothed_network_is_the_same_function(
    tmp_path: Path, changes: dict[str, Any], alpha: float
) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "checkpoint", **changes))
    config, tensors = checkpoint.config, checkpoint.tensors()
    samples = calibration_samples(calibration_set("one", [PROMPT[0].tolist()]))
    rng = np.random.default_rng(1)
    ranges = {  # far from even, so that a factor that is folded in one place only would show
        name: found * rng.uniform(0.1, 10, found.shape).astype(np.float32)
        for name, found in input_ranges(config, tensors, samples, "f32", NullProgress()).items()
    }
    plain = logits(build_network(config, tensors))
    smoothed = logits(SmoothedNetwork(config, tensors, ranges, alpha).model())
    np.testing.assert_allclose(smoothed, plain, rtol=0, atol=2e-3 * np.abs(plain).max())


def test_ranges_are_those_of_all_prompts(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_checkpoint(tmp_path / "checkpoint"))
    config, tensors = checkpoint.config, checkpoint.tensors()

    def ranges(*prompts: list[int]) -> dict[str, NDArray[np.float32]]:
        samples = calibration_samples(calibration_set("some", prompts))
        return input_ranges(config, tensors, samples, "f32", NullProgress())

    one, two = [5, 17, 80, 3], [44, 61, 9]
    both, first, second = ranges(one, two), ranges(one), ranges(two)
    assert len(both) == 5 * config.num_layers  # query, key and value are of one input
    for name, found in both.items():
        np.testing.assert_allclose(found, np.maximum(first[name], second[name]), rtol=1e-5)
    inner = both["model.layers.0.mlp.down_proj"]
    assert inner.shape == (config.intermediate_size,)
    assert (inner > 0).all()
