"""`doctor --measure`: what it measures, keeps, shows, and finds again; and the limits of a run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from build_engine.progress import BuildProgress
from harness.cli.output import Output
from harness.cli.summary import show_run
from harness.machine.measured import MeasuredPeaks, read_measured
from harness.runs.limits_record import PartOfLimit
from runtime.simulated import SimulatedSpec
from tests.harness.cli.line import Line
from tests.harness.machine.test_measured import make_measured
from tests.harness.report.results import make_limits, make_run

SIMULATED = SimulatedSpec()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """When it was measured; a measurement takes no time."""
    times: list[str] = []

    def measure(progress: BuildProgress, now_utc: str) -> MeasuredPeaks:
        times.append(now_utc)
        return _measured()

    monkeypatch.setattr("harness.doctor.measure.measure", measure)
    return times


def _measured() -> MeasuredPeaks:
    from harness.machine.measured import Fingerprint

    return make_measured(fingerprint=Fingerprint.here())


def test_it_is_measured_once(line: Line, calls: list[str]) -> None:
    said = line("doctor", "--measure")
    assert (said.code, len(calls)) == (0, 1)
    assert "Memory is read at 30.0 GB/s (median, worst: 24.0, 15.0)." in said.err
    assert "bf16 weights in bf16" in said.err
    assert said.err.rstrip().splitlines()[-1].startswith("Next: ")
    again = line("doctor", "--measure", "--json")
    assert len(calls) == 1
    kept = read_measured()
    assert kept is not None and json.loads(again.out) == kept.to_json()
    assert line("doctor", "--measure", "--fresh").code == 0
    assert len(calls) == 2


def test_a_damaged_measurement_is_made_anew(line: Line, calls: list[str]) -> None:
    place = _measured().keep()
    place.write_text("{", encoding="utf-8")
    said = line("doctor", "--measure")
    assert (said.code, len(calls)) == (0, 1)
    assert "is not valid JSON" in said.err and "it is measured anew." in said.err
    assert read_measured() is not None


def test_other_work_is_told(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    _measured().model_copy(update={"busy": "busy machine: others took 40%"}).keep()
    said = line("doctor", "--measure")
    assert "Busy machine: others took 40%; measure anew when it is quiet: --fresh" in said.err


def test_a_plan_for_this_cpu_goes_by_what_was_measured(line: Line) -> None:
    words = ("plan", "--model", "newsbrief", "--recipe", "bf16", "--target", "cpu")
    assert "enginebench doctor --measure" in line(*words).err
    _measured().keep()
    said = line(*words).err
    assert "Limits: measured on this machine on 2026-11-28" in said
    assert "No speed is predicted" not in said
    assert "published" not in said


def test_a_run_says_how_close_it_came(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = tuple(PartOfLimit.of(name, 100.0, 0.004, 0.001) for name in ("all", "decode"))
    run = make_run(tmp_path / "bf16", marks=("demo workload",))
    show_run(Output(as_json=False), run.changed(limits=make_limits(*parts)))
    said = capsys.readouterr().err
    assert "    of the limit: 40% of 250 tokens/s (50% of 200 serial)\n" in said
    assert "    decode: 40% of 250 tokens/s (50% of 200 serial)\n" in said
    assert "peaks: 0.4 TFLOP/s (0.3 in a step of 64) and 30 GB/s, measured here" in said
    assert "doctor --measure" not in said


def test_a_run_says_why_that_is_not_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "bf16", marks=("demo workload",))
    show_run(Output(as_json=False), run.changed(no_limits="the file of target `mine` is not known"))
    said = capsys.readouterr().err
    assert "    of the limit: not known: the file of target `mine` is not known\n" in said
    assert "--measure" not in said


def test_no_limits_are_asked_for_where_nothing_computed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_run(Output(as_json=False), make_run(tmp_path / "bf16", marks=(), executor=SIMULATED))
    said = capsys.readouterr().err
    assert "of the limit" not in said and "--measure" not in said
