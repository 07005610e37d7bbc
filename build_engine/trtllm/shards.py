"""A checkpoint's weights written rank by rank, one tensor in memory at a time.

`plain_source` reads a Hugging Face checkpoint by TensorRT-LLM's names; `write_ranks` takes what any
source gives and writes `rank{N}.safetensors`, each tensor held against the layout.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from build_engine.checkpoint.safetensors_file import LENGTH_BYTES, RAW_ITEMS, StoredTensor
from build_engine.errors import CheckpointError
from build_engine.trtllm.layout import (
    EMBEDDING,
    FINAL_NORM,
    HEAD,
    HF_LINEARS,
    HF_NORMS,
    STORED,
    TensorSpec,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from build_engine.checkpoint.checkpoint import Checkpoint
    from build_engine.trtllm.algorithm import QuantFormat

    Source: TypeAlias = Callable[[str], NDArray[Any]]

ALIGNMENT = 8  # of a header, so that what follows it is aligned


def rank_file(rank: int) -> str:
    """The name that TensorRT-LLM gives the weights of one GPU."""
    return f"rank{rank}.safetensors"


def write_ranks(
    folder: Path, specs: Mapping[str, TensorSpec], source: Source, ranks: int = 1
) -> None:
    """Write every rank's share of the tensors `specs`, whose whole values `source` gives by name.

    Raises OSError. A value of another type or shape than its spec is our own mistake:
    AssertionError.
    """
    for rank in range(ranks):
        with (folder / rank_file(rank)).open("wb") as stream:
            stream.write(_header(specs, ranks))
            for name, spec in specs.items():
                values = spec.share(source(name), rank, ranks)
                item = RAW_ITEMS[spec.dtype]
                assert values.dtype == item, f"{name} is {values.dtype}, not {item}"
                assert values.shape == spec.on_rank(ranks), f"{name} is {values.shape}"
                stream.write(memoryview(values.copy(order="C")).cast("B"))


def plain_source(checkpoint: Checkpoint, form: QuantFormat) -> Source:
    """The unquantised tensors by TensorRT-LLM's names, in the type of the format.

    Raises CheckpointError, when it is asked, for a value that float16 cannot hold.
    """
    stored = checkpoint.tensors()
    dtype = STORED[form.dtype]

    def values(name: str) -> NDArray[Any]:
        import numpy as np

        found = [converted(stored[n], dtype) for n in hf_names(name, checkpoint)]
        return np.concatenate(found) if len(found) > 1 else found[0]

    return values


def hf_names(name: str, checkpoint: Checkpoint) -> list[str]:
    """The Hugging Face tensors that `name` consists of, in their order."""
    tied = checkpoint.config.tie_word_embeddings
    ends = {
        EMBEDDING: "model.embed_tokens.weight",
        FINAL_NORM: "model.norm.weight",
        HEAD: "model.embed_tokens.weight" if tied else "lm_head.weight",
    }
    if name in ends:
        return [ends[name]]
    _, _, layer, rest = name.split(".", 3)
    module, _, kind = rest.rpartition(".")
    modules = (HF_NORMS[module],) if module in HF_NORMS else HF_LINEARS[module]
    return [f"model.layers.{layer}.{hf}.{kind}" for hf in modules]


def converted(tensor: StoredTensor, dtype: str) -> NDArray[Any]:
    """The values of a tensor rounded to nearest in `dtype` (BF16, as bits, or F16).

    Raises CheckpointError for a value that is out of range.
    """
    import numpy as np

    if tensor.dtype == dtype:
        return tensor.raw()
    values = tensor.float32()
    if dtype == "BF16":
        return to_bfloat16(values)
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float16)
    if not np.isfinite(narrow).all():
        raise CheckpointError(
            f"{tensor.file}: tensor {tensor.name} has values that float16 does not hold; choose a "
            "recipe that keeps bfloat16 (`bf16`, `int8_wo`, `int4_wo`)."
        )
    return narrow


def to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """float32 rounded to the nearest bfloat16 (ties to even), as its bits."""
    import numpy as np

    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    upper: NDArray[np.uint16] = (rounded >> np.uint32(16)).astype(np.uint16)
    return upper


def _header(specs: Mapping[str, TensorSpec], ranks: int) -> bytes:
    import numpy as np

    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name, spec in specs.items():
        shape = spec.on_rank(ranks)
        size = int(np.prod(shape, dtype=np.int64)) * np.dtype(RAW_ITEMS[spec.dtype]).itemsize
        entries[name] = {
            "dtype": spec.dtype,
            "shape": list(shape),
            "data_offsets": [begin, begin + size],
        }
        begin += size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % ALIGNMENT)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
