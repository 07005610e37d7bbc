"""From the SmoothQuant checkpoint of Model Optimizer to that of TensorRT-LLM's per-token kernels.

Both hold the same INT8 weights with a scale per output channel. The scale of the activations, which
calibration fixed, is dropped: the kernels measure it per token. The factor that an input is
multiplied by before it is quantised moves into the norm before it, or, where there is none, becomes
a `smoother`, by which the kernels divide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from build_engine.errors import RunFailed
from build_engine.trtllm.layout import INPUT_NORM, POST_NORM, QKV

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.checkpoint.safetensors_file import StoredTensor
    from build_engine.trtllm.shards import Source

FOLDED = {INPUT_NORM: (QKV,), POST_NORM: ("mlp.fc", "mlp.gate")}
"""The linear layers that read what each norm writes."""


def per_token_source(exported: Mapping[str, StoredTensor]) -> Source:
    """The tensors of a per-token checkpoint by name, made of those of a per-tensor one.

    Raises RunFailed, when it is asked, for two layers behind one norm with different factors, and
    for a norm that float16 cannot hold with its factor.
    """

    def values(name: str) -> NDArray[Any]:
        import numpy as np

        module, _, kind = name.rpartition(".")
        if kind == "scale_to_int":
            return np.ones(1, np.float32)
        if kind == "per_channel_scale":
            return exported[f"{module}.weights_scaling_factor"].raw()[np.newaxis]
        if kind == "smoother":
            smoother: NDArray[Any] = (1 / _factor(exported, module))[np.newaxis]
            return smoother
        layer, _, norm = module.rpartition(".")
        if norm in FOLDED:
            return _folded(exported, name, [f"{layer}.{linear}" for linear in FOLDED[norm]])
        return exported[name].raw()

    return values


def _folded(
    exported: Mapping[str, StoredTensor], norm: str, readers: list[str]
) -> NDArray[np.float16]:
    import numpy as np

    factors = [_factor(exported, reader) for reader in readers]
    if any((factor != factors[0]).any() for factor in factors):
        raise RunFailed(
            f"Model Optimizer gave {' and '.join(readers)} different smoothing factors, and the "
            "norm before them can hold one; quantise with `int8_sq_static`."
        )
    with np.errstate(over="ignore"):
        product: NDArray[np.float16] = (exported[norm].float32() * factors[0]).astype(np.float16)
    if not np.isfinite(product).all():
        raise RunFailed(
            f"{norm} with its smoothing factors is more than float16 holds; quantise with "
            "`int8_sq_static`."
        )
    return product


def _factor(exported: Mapping[str, StoredTensor], linear: str) -> NDArray[np.float32]:
    return exported[f"{linear}.prequant_scaling_factor"].float32()
