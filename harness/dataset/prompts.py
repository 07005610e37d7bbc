"""Prepared prompts on disk: all ids of a dataset in one int32 array, and where each prompt ends.

The LoadGen process maps this file and needs nothing else of a dataset: no tokenizer, no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.executor import TokenIds

_IDS = "prompt_ids.npy"
_ENDS = "prompt_ends.npy"
FILES = (_IDS, _ENDS)


def save_prompts(folder: Path, prompts: Sequence[TokenIds]) -> None:
    """Write prompts, each int32 of shape [prompt length], to `folder`."""
    import numpy as np

    np.save(folder / _IDS, np.concatenate(prompts).astype(np.int32, copy=False))
    np.save(folder / _ENDS, np.cumsum([len(ids) for ids in prompts], dtype=np.int64))


def load_prompts(folder: Path, count: int | None = None) -> list[TokenIds]:
    """The first `count` prompts (all when None), as views of one mapped array."""
    import numpy as np

    ids = np.load(folder / _IDS, mmap_mode="r").view(np.ndarray)
    ends = np.load(folder / _ENDS)[:count].tolist()
    return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def prompt_lengths(folder: Path) -> list[int]:
    """Number of ids of each prompt."""
    import numpy as np

    lengths: list[int] = np.diff(np.load(folder / _ENDS), prepend=0).tolist()
    return lengths
