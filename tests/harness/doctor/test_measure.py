"""Measuring this machine for real, on less than it takes to be exact."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import pytest

from build_engine.errors import EngineDied, EnvironmentFault, OutputError
from harness.doctor import measure as measuring
from harness.doctor.measure import measure
from harness.machine.measured import Fingerprint, Measurement, read_measured
from tests.build_engine.specs import Notes
from tests.build_engine.test_temporary import mark_of_the_dead


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    less: dict[str, Any] = {
        "_ROWS": (1, 16),
        "_LEAST_READ_BYTES": 2**20,
        "_CACHES": 1,
        "_BATCH": 4,
        "_PROMPTS": 2,
        "_LONG": 64,
        "_ANSWER": 8,
        "_TIMES": 1,
    }
    for name, value in less.items():
        monkeypatch.setattr(measuring, name, value)
    monkeypatch.setattr("runtime.openvino.products._LEAST_S", 0.0)


@pytest.fixture
def peaks_folder() -> Path:
    return Fingerprint.here().place.parent


def test_what_is_measured_is_of_this_machine_and_can_be_kept(peaks_folder: Path) -> None:
    left = peaks_folder / f".engines{mark_of_the_dead()}x"  # by a measurement that was killed
    left.mkdir(parents=True)
    progress = Notes()
    found = measure(progress, "2026-01-01T00:00:00Z")
    assert {"matrix products", "memory", "steps of small engines"} <= set(progress.phases)
    assert found.fingerprint == Fingerprint.here()
    kinds = {(each.weights, each.rows) for each in found.products}
    assert kinds == {(kind, rows) for kind in ("bf16", "int8", "int4") for rows in (1, 16)}
    for figures in (found.read_bytes_per_s, *(each.flops for each in found.products)):
        assert isinstance(figures, Measurement)
        assert 1e6 < figures.worst <= figures.median <= figures.best < 1e15
    assert all(math.isfinite(cost) and cost >= 0 for cost in asdict(found.steps).values())
    assert list(peaks_folder.iterdir()) == []
    assert found.keep().parent == peaks_folder
    assert read_measured() == found


def test_an_engine_that_does_not_run_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, peaks_folder: Path
) -> None:
    def load(_: object) -> NoReturn:
        raise EngineDied("it was killed by SIGILL")

    monkeypatch.setattr("runtime.backend.load", load)
    with pytest.raises(EnvironmentFault, match=r"\(it was killed by SIGILL\); see .*doctor"):
        measure(Notes(), "2026-01-01T00:00:00Z")
    assert list(peaks_folder.iterdir()) == []


def test_without_room_the_place_and_the_remedy_are_named(
    monkeypatch: pytest.MonkeyPatch, peaks_folder: Path
) -> None:
    def full(*_: object) -> NoReturn:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("build_engine.checkpoint.synthetic.write_synthetic", full)
    told = f"{peaks_folder} .No space left on device.; .* ENGINEBENCH_HOME"
    with pytest.raises(OutputError, match=told):
        measure(Notes(), "2026-01-01T00:00:00Z")
    assert list(peaks_folder.iterdir()) == []
