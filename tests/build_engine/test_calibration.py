"""A calibration set is its prompts, in order; its digest says whether two sets are the same."""

from __future__ import annotations

import numpy as np
import pytest

from build_engine.calibration import calibration_set
from build_engine.errors import DatasetError


def test_prompts_are_fixed_int32() -> None:
    [prompt] = calibration_set("set", [[1, 2, 3]]).prompts
    assert prompt.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        prompt[0] = 9


def test_callers_array_stays_writable() -> None:
    ids = np.array([1, 2], np.int32)
    kept = calibration_set("set", [ids])
    ids[0] = 9
    assert kept.prompts[0].tolist() == [1, 2]


def test_digest_depends_on_ids_order_and_borders_only() -> None:
    digest = calibration_set("set", [[1, 2], [3]]).digest
    assert calibration_set("other name", [np.array([1, 2]), [3]]).digest == digest
    for prompts in ([[3], [1, 2]], [[1], [2, 3]], [[1, 2, 3]], [[1, 2], [4]]):
        assert calibration_set("set", prompts).digest != digest


def test_first_prompts() -> None:
    whole = calibration_set("set", [[1], [2], [3]])
    assert whole.first(2).digest == calibration_set("set", [[1], [2]]).digest
    with pytest.raises(
        DatasetError, match="set has 3 prompts and the recipe needs 4; give a larger"
    ):
        whole.first(4)


def test_no_prompt_and_empty_prompt_are_refused() -> None:
    with pytest.raises(DatasetError, match="has no prompt; give at least one"):
        calibration_set("set", [])
    with pytest.raises(DatasetError, match="prompt 1 has shape"):
        calibration_set("set", [[1], []])
