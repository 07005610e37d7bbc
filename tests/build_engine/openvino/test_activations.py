"""INT8 arithmetic is what the engine says it is: the CPU is asked, and refused without."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from numpy.typing import NDArray
from openvino import opset15 as op

from build_engine.checkpoint.checkpoint import open_checkpoint
from build_engine.errors import EnvironmentFault, RecipeRefused
from build_engine.openvino import activations
from build_engine.openvino.activations import (
    GROUP_SIZE_PROPERTY,
    channels_per_scale,
    require_here,
    require_int8,
)
from build_engine.recipe import load_recipe
from build_engine.target import load_target
from tests.build_engine.checkpoints import write_checkpoint

INPUTS, OUTPUTS = 160, 48


def executed(
    weights: NDArray[np.int8], scales: NDArray[np.float32], values: NDArray[np.float32], size: int
) -> NDArray[np.float32]:
    """What the plugin makes of a layer with INT8 weights, for activations in groups of `size`."""
    hidden = op.parameter([-1, -1, INPUTS], np.float32)
    widened = op.multiply(op.convert(op.constant(weights), "f32"), op.constant(scales))
    model = ov.Model([op.result(op.matmul(hidden, widened, False, True))], [hidden])
    properties = {GROUP_SIZE_PROPERTY: str(size), "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.Core().compile_model(model, "CPU", properties)
    found: NDArray[np.float32] = compiled(values[None])[0][0]
    return found


@pytest.mark.usefixtures("int8_arithmetic")
@pytest.mark.parametrize("size", [16, 32, 64])
def test_each_token_is_rounded_to_int8_in_groups_of_channels(size: int) -> None:
    rng = np.random.default_rng(4)
    weights = rng.integers(-127, 128, (OUTPUTS, INPUTS), np.int8)
    scales = rng.uniform(0.01, 0.02, (OUTPUTS, 1)).astype(np.float32)
    values = rng.normal(size=(5, INPUTS)).astype(np.float32)
    widened = weights.astype(np.float32) * scales
    rounded = np.zeros_like(values)
    for start in range(0, INPUTS, size):  # the last group of 64 has 32
        group = values[:, start : start + size]
        step = np.abs(group).max(1, keepdims=True) / 127
        rounded[:, start : start + size] = np.round(group / step) * step
    found = executed(weights, scales, values, size)
    np.testing.assert_allclose(found, rounded @ widened.T, rtol=0, atol=1e-4)
    assert np.abs(found - values @ widened.T).max() > 1e-2  # not what floating point makes


def test_a_plugin_that_does_not_round_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "_GROUP_SIZE", 24)  # which it takes, and does not do
    with pytest.raises(EnvironmentFault, match=r"not multiply in INT8 on this CPU.*`int8_wo`"):
        require_int8()
    with pytest.raises(EnvironmentFault, match="INT8"):
        require_here(load_recipe("int8_sq"), load_target("cpu"))
    require_here(load_recipe("int8_wo"), load_target("cpu"))


@pytest.mark.parametrize(
    ("hidden_size", "intermediate_size", "size"), [(128, 256, 64), (40, 128, 32), (128, 20, 16)]
)
def test_no_layer_has_fewer_inputs_than_a_group(
    tmp_path: Path, hidden_size: int, intermediate_size: int, size: int
) -> None:
    folder = write_checkpoint(
        tmp_path, hidden_size=hidden_size, intermediate_size=intermediate_size
    )
    assert channels_per_scale(open_checkpoint(folder).config) == size


def test_a_layer_too_narrow_for_the_plugin_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path, intermediate_size=8)
    with pytest.raises(RecipeRefused, match="a layer of this checkpoint has 8 inputs"):
        channels_per_scale(open_checkpoint(folder).config)
