"""The prompts that a recipe is calibrated on, and the digest that an engine remembers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from build_engine.errors import DatasetError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    TokenIds = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """Prompts as token ids, each int32 of shape [prompt length], and SHA-256 in hex over them.

    Make one with `calibration_set`; two sets are the same set when their digests are
    equal. `official` is whether they are of a benchmark's own calibration set; `options` are those
    of `enginebench build` that make the set again.
    """

    name: str
    prompts: tuple[TokenIds, ...]
    digest: str
    official: bool = False
    options: tuple[str, ...] = ()

    def first(self, count: int) -> CalibrationSet:
        """The set of the first `count` prompts; raises DatasetError when there are fewer."""
        if count > len(self.prompts):
            raise DatasetError(
                f"Calibration set {self.name} has {len(self.prompts)} prompts and the recipe "
                f"needs {count}; give a larger set or lower calibration_samples."
            )
        prompts = self.prompts[:count]
        return calibration_set(self.name, prompts, official=self.official, options=self.options)


def calibration_set(
    name: str,
    prompts: Iterable[Sequence[int] | TokenIds],
    *,
    official: bool = False,
    options: tuple[str, ...] = (),
) -> CalibrationSet:
    """A calibration set from token ids; raises DatasetError for no prompt or an empty one."""
    import numpy as np

    arrays = tuple(np.array(prompt, np.int32) for prompt in prompts)
    if not arrays:
        raise DatasetError(f"Calibration set {name} has no prompt; give at least one.")
    digest = hashlib.sha256()
    for position, array in enumerate(arrays):
        if array.ndim != 1 or not array.size:
            raise DatasetError(
                f"Calibration set {name}: prompt {position} has shape {list(array.shape)}, and "
                "must be a list of at least one token id; remove it or correct it."
            )
        digest.update(len(array).to_bytes(8, "little"))
        digest.update(array.astype("<i4").tobytes())
        array.setflags(write=False)
    return CalibrationSet(name, arrays, digest.hexdigest(), official, options)
