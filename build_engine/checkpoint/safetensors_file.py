"""Tensors of safetensors files by name: shapes from the headers, data mapped when asked for.

The format (github.com/huggingface/safetensors, README "Format"): 8 bytes of little-endian header
length, a JSON header with dtype, shape and data offsets per tensor, then the data. Its own rules
hold here too: no name twice, and tensors that fill the data without overlap or hole. It is read
without the library because numpy has no bfloat16.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.errors import CheckpointError
from build_engine.files import Unreadable, parse_json

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ITEM_BYTES = {"F32": 4, "F16": 2, "BF16": 2}
# quantised types too, which a checkpoint to build from does not have
RAW_ITEMS = {"F32": "f4", "F16": "f2", "BF16": "u2", "I8": "i1", "F8_E4M3": "u1"}
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 2**24  # the format allows 100 MB; that of a Llama with 126 layers has 0.2
_MAX_TENSORS = 2**16
_MAX_AXES = 16  # a Llama's tensors have two at most
DOWNLOAD_AGAIN = "download the checkpoint again"


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor on disk: `dtype` as in the file, data at `offset_bytes`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    offset_bytes: int

    def raw(self) -> NDArray[Any]:
        """The stored values, mapped read-only; bits of what numpy lacks: bfloat16 in uint16, E4M3
        in uint8.
        """
        import numpy as np

        item = np.dtype(RAW_ITEMS[self.dtype])
        return np.memmap(self.file, item, mode="r", offset=self.offset_bytes, shape=self.shape)

    def float32(self) -> NDArray[np.float32]:
        """The values as float32, which holds each of the three stored types exactly."""
        return self.widened(self.raw())

    def widened(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Some of the stored values as float32."""
        return as_float32(self.dtype, values)


def as_float32(dtype: str, values: NDArray[Any]) -> NDArray[np.float32]:
    """Values as they are stored in `dtype` (F32, F16, BF16) as float32."""
    import numpy as np

    if dtype == "BF16":
        # A bfloat16 is the upper half of the float32 of the same value.
        return (values.astype(np.uint32) << 16).view(np.float32)
    return np.asarray(values, np.float32)


def read_tensors(files: Sequence[Path]) -> dict[str, StoredTensor]:
    """All tensors of `files`, from their headers.

    Raises CheckpointError for a file that is truncated or broken, and a tensor that is there twice.
    """
    tensors: dict[str, StoredTensor] = {}
    for file in files:
        for name, tensor in _read_header(file).items():
            if name in tensors:
                raise CheckpointError(
                    f"{file} and {tensors[name].file.name} both hold a tensor {name}; "
                    f"{DOWNLOAD_AGAIN}."
                )
            tensors[name] = tensor
    return tensors


def _read_header(file: Path) -> dict[str, StoredTensor]:
    size_bytes = file.stat().st_size
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(LENGTH_BYTES), "little")
        if LENGTH_BYTES + header_bytes > size_bytes or header_bytes > MAX_HEADER_BYTES:
            raise CheckpointError(
                f"{file} is truncated or not a safetensors file: it has {size_bytes} bytes and "
                f"its header claims {header_bytes}; {DOWNLOAD_AGAIN}."
            )
        header = stream.read(header_bytes)
    data_start = LENGTH_BYTES + header_bytes
    try:
        entries = parse_json(header)
        entries.pop("__metadata__", None)
        if len(entries) > _MAX_TENSORS:
            raise ValueError(f"{len(entries):,} tensors")
        tensors = {
            name: _parse_entry(file, name, entry, data_start) for name, entry in entries.items()
        }
        places = sorted((*entry["data_offsets"], name) for name, entry in entries.items())
    except Unreadable as problem:
        raise CheckpointError(
            f"{file} has a broken safetensors header (it {problem}); {DOWNLOAD_AGAIN}."
        ) from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{file} has a broken safetensors header ({error}); {DOWNLOAD_AGAIN}."
        ) from error
    _check_places(file, places, data_start, size_bytes)
    return tensors


def _check_places(
    file: Path, places: Sequence[tuple[int, int, str]], data_start: int, size_bytes: int
) -> None:
    """Raise CheckpointError unless the (begin, end, name) of all tensors, in their order, fill the
    data of the file: `Metadata::validate` of the format's own library.
    """
    end_before, before = 0, "the header"
    for begin, end, name in places:
        if begin != end_before:
            told = "overlap" if begin < end_before else "leave a hole between them"
            raise CheckpointError(
                f"{file} has a broken safetensors header: {before} and tensor {name} {told}; "
                f"{DOWNLOAD_AGAIN}."
            )
        end_before, before = end, f"tensor {name}"
    wanted_bytes = data_start + end_before
    if size_bytes < wanted_bytes:
        raise CheckpointError(
            f"{file} is truncated: it has {size_bytes} of {wanted_bytes} bytes; {DOWNLOAD_AGAIN}."
        )
    if size_bytes > wanted_bytes:
        raise CheckpointError(
            f"{file} has {size_bytes - wanted_bytes} bytes after its last tensor; {DOWNLOAD_AGAIN}."
        )


def _parse_entry(file: Path, name: str, entry: dict[str, Any], data_start: int) -> StoredTensor:
    """One tensor of a header. Raises CheckpointError for a length that is not the shape's, which
    would make `raw` read a neighbour's values, and KeyError, TypeError or ValueError for an entry
    that is none.
    """
    dtype, shape, (begin, end) = entry["dtype"], entry["shape"], entry["data_offsets"]
    sizes = (*shape, begin, end)
    numbers = len(shape) <= _MAX_AXES and all(type(n) is int and n >= 0 for n in sizes)
    if not isinstance(dtype, str) or not numbers or end < begin:
        raise ValueError(f"tensor {name}")
    # another dtype is named by the checkpoint's own check if the network needs this tensor
    if dtype in ITEM_BYTES and end - begin != math.prod(shape) * ITEM_BYTES[dtype]:
        raise CheckpointError(
            f"{file}: tensor {name} has {end - begin} bytes, which is not its shape {shape} in "
            f"{dtype}; {DOWNLOAD_AGAIN}."
        )
    return StoredTensor(name, dtype, tuple(shape), file, data_start + begin)
