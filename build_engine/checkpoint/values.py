"""The values of a checkpoint's weights, looked at once before they are built into anything."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.safetensors_file import ITEM_BYTES
from build_engine.checkpoint.tensors import EMBEDDING, HEAD
from build_engine.errors import CheckpointError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.checkpoint.safetensors_file import StoredTensor

_CHUNK = 1 << 20  # values at once: what fits the cache of a core is looked at fastest
# Type of the bits, and the exponent that only infinities and NaN have (IEEE 754; bfloat16).
_BITS = {"F32": ("u4", 0x7F800000), "F16": ("u2", 0x7C00), "BF16": ("u2", 0x7F80)}


def check_values(checkpoint: Checkpoint) -> None:
    """Raise CheckpointError for a weight with a NaN or an infinity in it, and for a stored head
    that is not the embedding to which `tie_word_embeddings` ties it. Reads every weight.
    """
    stored = checkpoint.tensors()
    for name in checkpoint.config.tensor_shapes:
        _require_finite(stored[name])
    if checkpoint.config.tie_word_embeddings and HEAD in stored:
        _require_same(stored[EMBEDDING], stored[HEAD])


def _require_finite(tensor: StoredTensor) -> None:
    import numpy as np

    item, exponent = _BITS[tensor.dtype]
    start = 0
    for chunk in _chunks(tensor):
        bits = chunk.view(item)
        wrong = (bits & np.array(exponent, item)) == exponent
        if wrong.any():
            first = start + int(np.argmax(wrong))
            place = [int(axis) for axis in np.unravel_index(first, tensor.shape)]
            value = "NaN" if np.isnan(tensor.float32().reshape(-1)[first]) else "an infinity"
            raise CheckpointError(
                f"{tensor.file}: tensor {tensor.name} holds {value} at {place}, and such a model "
                "answers nothing; download the checkpoint again, or save it once more in a type "
                "that holds its values (bfloat16, float32)."
            )
        start += chunk.size


def _require_same(embedding: StoredTensor, head: StoredTensor) -> None:
    import numpy as np

    comparable = embedding.shape == head.shape and head.dtype in ITEM_BYTES
    same = comparable and all(
        np.array_equal(one, other)
        for one, other in zip(_floats(embedding), _floats(head), strict=True)
    )
    if not same:
        raise CheckpointError(
            f"{head.file}: config.json says that tie_word_embeddings is true, and {HEAD} holds "
            f"other values than {EMBEDDING}; set it to false if the head was trained on its own, "
            f"or remove {HEAD}."
        )


def _chunks(tensor: StoredTensor) -> Iterator[NDArray[Any]]:
    values = tensor.raw().reshape(-1)
    for start in range(0, values.size, _CHUNK):
        yield values[start : start + _CHUNK]


def _floats(tensor: StoredTensor) -> Iterator[NDArray[np.float32]]:
    for chunk in _chunks(tensor):
        yield tensor.widened(chunk)
