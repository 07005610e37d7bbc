"""Executor specs survive the way to another process."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.spec import ExecutorSpec, OpenVINOSpec, SimulatedSpec, spec_from_json, spec_to_json


@pytest.mark.parametrize(
    "spec",
    [
        OpenVINOSpec(folder=Path("/engines/x"), num_threads=2),
        SimulatedSpec(num_tokens=3, samples_per_s=2.5, fault="drop", fault_after=4),
    ],
)
def test_a_spec_comes_back_as_it_went(spec: ExecutorSpec) -> None:
    assert spec_from_json(spec_to_json(spec)) == spec
