"""Calibration prompts as a network's inputs, and how far one has come with them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from build_engine.calibration import CalibrationSet
    from build_engine.progress import BuildProgress

Sample: TypeAlias = dict[str, npt.NDArray[np.integer]]

# Every token costs a prefill on this CPU and a share of what AWQ tries: with these, AWQ of a model
# with 135M weights takes 86 s of CPU time.
MAX_CALIBRATION_TOKENS = 4096
_TELL_EVERY_S = 5.0


def calibration_samples(calibration: CalibrationSet | None) -> list[Sample]:
    """Inputs of the stateful graph, one whole prompt each, up to `MAX_CALIBRATION_TOKENS`; the
    state is to be reset before each.
    """
    assert calibration is not None, "make_spec gives a calibrated recipe its prompts"
    samples: list[Sample] = []
    num_tokens = 0
    for prompt in calibration.prompts:
        num_tokens += len(prompt)
        if samples and num_tokens > MAX_CALIBRATION_TOKENS:
            break
        ids = prompt.astype(np.int64)[np.newaxis]
        samples.append(
            {
                "input_ids": ids,
                "attention_mask": np.ones_like(ids),
                "position_ids": np.arange(ids.size, dtype=np.int64)[np.newaxis],
                "beam_idx": np.zeros(1, np.int32),
            }
        )
    return samples


class Shown:
    """Passes samples on, and tells how many have been looked at; `then` is what comes after the
    last, in words.
    """

    def __init__(self, total: int, then: str, progress: BuildProgress) -> None:
        self._total = total
        self._then = then
        self._progress = progress
        self._done = 0
        self._told_s = time.monotonic()

    def __call__(self, sample: Sample) -> Sample:
        now_s = time.monotonic()
        if self._done and now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            self._progress.note(f"{self._done} of {self._total} calibration prompts")
        self._done += 1
        if self._done == self._total:
            self._progress.note(f"the last of {self._total} calibration prompts; then {self._then}")
        return sample
