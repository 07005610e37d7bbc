"""Measured peaks: kept by what they depend on, and never used for another machine."""

from __future__ import annotations

import pytest

from build_engine.errors import EnvironmentFault
from build_engine.roofline.costs import StepCosts
from build_engine.roofline.rate import Rate
from harness.machine.measured import (
    Fingerprint,
    MeasuredPeaks,
    Measurement,
    Products,
    measured_peaks,
    read_measured,
)

COSTS = StepCosts(
    iteration_s=1e-4, layer_s=1e-5, element_s=1e-9, answer_s=1e-5, logit_s=1e-9, cached_s=1e-11
)


def make_measured(**changes: object) -> MeasuredPeaks:
    """Of this machine, as if it computed in bf16."""
    here = Fingerprint.here().model_copy(update={"arithmetic": "bf16"})

    def products(weights: str, arithmetic: str, rows: int, best: float) -> Products:
        flops = Measurement(best=best, median=best * 0.9, worst=best * 0.5)
        return Products(weights=weights, arithmetic=arithmetic, rows=rows, flops=flops)

    found = MeasuredPeaks(
        schema_version=MeasuredPeaks.SCHEMA,
        fingerprint=here,
        measured_utc="2026-11-28T08:00:00+00:00",
        products=(
            products("bf16", "bf16", 2048, 4e11),
            products("bf16", "bf16", 1, 1e11),
            products("int8", "bf16", 2048, 3e11),
            products("int8", "int8", 2048, 6e11),
        ),
        read_bytes_per_s=Measurement(best=3e10, median=2.4e10, worst=1.5e10),
        steps=COSTS,
        busy=None,
    )
    return found.model_copy(update=changes)


@pytest.fixture(autouse=True)
def _bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    from build_engine.target import Detected

    monkeypatch.setattr(
        "harness.machine.measured.detect_cpu_compute", lambda: Detected("bf16", "a test")
    )


def test_the_best_of_several_is_a_peak() -> None:
    found = Measurement.of([3.0, 1.0, 2.0])
    assert (found.best, found.median, found.worst) == (3.0, 2.0, 1.0)


def test_a_measurement_is_read_as_it_was_kept() -> None:
    assert read_measured() is None and measured_peaks() is None
    found = make_measured()
    assert found.keep() == found.fingerprint.place
    assert read_measured() == found


def test_peaks_are_the_best_products_and_the_best_reading() -> None:
    peaks = make_measured().peaks
    assert peaks.flops == {"bf16": 4e11, "int8": 6e11}
    assert peaks.by_rows["bf16"] == Rate(((1, 1e11), (2048, 4e11)))
    assert peaks.bandwidth == 3e10
    assert peaks.steps is not None
    assert peaks.steps.slowest == (0.5, 0.5) and peaks.steps.middle == (0.9, 0.8)
    assert peaks.steps.weights["int8"].best == 3e11
    assert "measured on this machine on 2026-11-28" in peaks.source
    assert "--fresh" not in peaks.source
    assert "--fresh" in make_measured(busy="busy machine").peaks.source


@pytest.mark.parametrize(
    "change",
    [
        {"cpu": "Another CPU"},
        {"num_cpus": 1000},
        {"memory_gib": 0.5},
        {"instructions": ("avx1024",)},
        {"libraries": {"openvino": "1.0"}},
    ],
)
def test_a_measurement_of_another_machine_is_not_used(change: dict[str, object]) -> None:
    found = make_measured()
    other = found.fingerprint.model_copy(update=change)
    assert other.place != found.fingerprint.place
    found.model_copy(update={"fingerprint": other}).keep()
    assert read_measured() is None
    other.place.rename(found.fingerprint.place)  # as if somebody had copied it
    with pytest.raises(EnvironmentFault, match="measured on another machine; measure anew"):
        read_measured()
    assert measured_peaks() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema_version": 1}', "\0"])
def test_a_damaged_measurement_is_one_sentence(content: str) -> None:
    place = make_measured().keep()
    place.write_text(content, encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="doctor --measure"):
        read_measured()
    assert measured_peaks() is None
