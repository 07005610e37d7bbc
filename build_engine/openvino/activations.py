"""INT8 arithmetic: the CPU plugin rounds activations while the engine runs, and multiplies them
with 8-bit weights in integers (VNNI, AMX).

Of each token as many neighbouring channels share a scale as the property
`DYNAMIC_QUANTIZATION_GROUP_SIZE` says. The plugin says nothing where it does not do it: for a size
that is no multiple of 16 or above a layer's inputs, and on a CPU without these instructions, it
multiplies in floating point. So a layer that shows the difference is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault, RecipeRefused
from build_engine.libraries import library_fault
from build_engine.openvino.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    from build_engine.checkpoint.architecture import LlamaConfig
    from build_engine.recipe import RecipeRules
    from build_engine.target import Target

GROUP_SIZE_PROPERTY = "DYNAMIC_QUANTIZATION_GROUP_SIZE"
# Larger groups are a little faster and lose more: with 32, 64 and 192 channels, 135M SmolLM2's
# next-token distributions on news were 0.0071, 0.0084 and 0.0122 nats from those of float32.
_GROUP_SIZE = 64
_STEP = 16  # of the plugin: its vector length
_LARGE = 1000.0


def channels_per_scale(config: LlamaConfig) -> int:
    """Channels of a token that share a scale: 64, or fewer where a layer has fewer inputs. Raises
    RecipeRefused for a layer with fewer than 16.
    """
    fewest = min(config.hidden_size, config.num_heads * config.head_dim, config.intermediate_size)
    if fewest < _STEP:
        raise RecipeRefused(
            f"The CPU engine rounds at least {_STEP} activations together, and a layer of this "
            f"checkpoint has {fewest} inputs; use `int8_wo`."
        )
    return min(_GROUP_SIZE, fewest - fewest % _STEP)


def require_here(recipe: RecipeRules, target: Target) -> None:
    """Return where OpenVINO executes the recipe on this machine. Raises EnvironmentFault for INT8
    arithmetic on a CPU that has none.
    """
    if recipe.activations == "int8":
        require_int8()


@signal_stack_kept()
def require_int8() -> None:
    """Return where OpenVINO multiplies in INT8 on this CPU. Raises EnvironmentFault where it does
    not, and MissingLibrary without OpenVINO.

    One large activation makes its neighbours so small that rounding leaves nothing of them; only
    the neighbours have weights.
    """
    try:
        import numpy as np
        import openvino as ov
        from openvino import opset15 as op
    except ImportError as error:
        raise library_fault(error, "openvino", "cpu") from error
    size = _GROUP_SIZE
    hidden = op.parameter([-1, -1, size], np.float32)
    weights = np.ones((size, size), np.int8)
    weights[:, 0] = 0
    scales = op.constant(np.ones((size, 1), np.float32))
    widened = op.multiply(op.convert(op.constant(weights), "f32"), scales)
    model = ov.Model([op.result(op.matmul(hidden, widened, False, True))], [hidden])
    compiled = ov.Core().compile_model(model, "CPU", {GROUP_SIZE_PROPERTY: str(size)})
    values = np.ones((1, 1, size), np.float32)
    values[..., 0] = _LARGE
    if np.any(compiled(values)[0]):
        raise EnvironmentFault(
            "OpenVINO does not multiply in INT8 on this CPU, which has neither AVX-512 VNNI nor "
            "AVX-VNNI; use `int8_wo`, or a machine that has one of them."
        )
