"""How fast OpenVINO multiplies matrices on this CPU, and how fast its memory is read.

Products are those of an engine: the same properties, threads and kinds of weights. Their weights
stay in the CPU's cache, so that arithmetic and traffic are measured apart.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from build_engine.openvino.activations import GROUP_SIZE_PROPERTY
from build_engine.openvino.compile import require_openvino, runtime_properties
from build_engine.openvino.signal_stack import signal_stack_kept

if TYPE_CHECKING:
    from collections.abc import Callable

_WIDTH = 1024
_LAYERS = 4  # as many as keep the start of an inference small beside its products
_SCALE = 1e-3
_INT4_GROUP = 128
_INT8_GROUP = 64
_LEAST_S = 0.15
_LEAST_TIMES = 5
_PASSES = 12

WEIGHTS = ("bf16", "int8", "int4")


@signal_stack_kept()
def product_flops(weights: str, compute: str, rows: int, *, quantised: bool = False) -> list[float]:
    """FLOP/s of several products of `rows` rows with `weights` (bf16, int8, int4), computed in
    `compute` (bf16, f32), or in INT8 where activations are `quantised`. Raises MissingLibrary.
    """
    require_openvino()
    import numpy as np
    import openvino as ov
    from openvino import opset15 as op

    hidden = values = op.parameter([-1, _WIDTH], np.float32)
    for _ in range(_LAYERS):
        values = op.matmul(values, _weights(weights), False, True)
    model = ov.Model([op.result(values)], [hidden])
    properties = runtime_properties(compute, compute, _INT8_GROUP if quantised else 0)
    names = ("INFERENCE_PRECISION_HINT", GROUP_SIZE_PROPERTY)
    compiled = ov.Core().compile_model(model, "CPU", {name: properties[name] for name in names})
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(np.ones((rows, _WIDTH), np.float32)))
    flops = 2.0 * rows * _WIDTH * _WIDTH * _LAYERS
    return [flops / seconds for seconds in _times(request.infer, _LEAST_S)]


def read_bytes_per_s(num_bytes: int) -> list[float]:
    """Bytes/s of several readings of an array that no cache holds, by a thread for each CPU that
    this process may use.
    """
    import numpy as np

    threads = len(os.sched_getaffinity(0))
    values = np.ones(num_bytes // 4, np.float32)
    parts = np.array_split(values, threads)
    with ThreadPoolExecutor(threads) as pool:
        seconds = _times(lambda: list(pool.map(np.max, parts)), 0.0, _PASSES)
    return [values.nbytes / each for each in seconds]


def _times(work: Callable[[], Any], least_s: float, least_times: int = _LEAST_TIMES) -> list[float]:
    """Seconds of each time, the first left out: it prepares what the others find."""
    work()
    found: list[float] = []
    while len(found) < least_times or sum(found) < least_s:
        started_s = time.perf_counter()
        work()
        found.append(time.perf_counter() - started_s)
    return found


def _weights(kind: str) -> Any:
    """A matrix, widened as an engine's are."""
    import numpy as np
    import openvino as ov
    from openvino import opset15 as op

    rng = np.random.default_rng(0)
    if kind == "int8":
        stored = op.constant(rng.integers(-127, 127, (_WIDTH, _WIDTH), np.int8))
        scales = op.constant(np.full((_WIDTH, 1), _SCALE, np.float32))
        return op.multiply(op.convert(stored, "f32"), scales)
    if kind == "int4":
        groups = _WIDTH // _INT4_GROUP
        tensor = ov.Tensor(ov.Type.i4, [_WIDTH, groups, _INT4_GROUP])
        tensor.data[...] = rng.integers(0, 256, tensor.data.shape, np.uint8).view(tensor.data.dtype)
        scales = op.constant(np.full((_WIDTH, groups, 1), _SCALE, np.float32))
        widened = op.multiply(op.convert(op.constant(tensor), "f32"), scales)
        return op.reshape(widened, op.constant(np.array([_WIDTH, _WIDTH], np.int64)), False)
    tensor = ov.Tensor(ov.Type.bf16, [_WIDTH, _WIDTH])
    halves = rng.standard_normal((_WIDTH, _WIDTH), np.float32).view(np.uint32) >> 16
    tensor.data.view(np.uint16)[...] = halves.astype(np.uint16)
    return op.convert(op.constant(tensor), "f32")
