"""NVML tells what the GPUs are, and ECC that is off is never passed over."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.doctor.check import Level
from harness.doctor.checks import all_checks
from harness.machine import gpus
from harness.machine.gpus import Gpu, GpuReport, detect_gpus
from tests.nvml_double import Card, install_nvml, not_supported


def test_an_a30_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, Card(nvlinks=4), driver="550.54.15", cuda=12040)
    report = detect_gpus()
    assert report.gpus == (
        Gpu(
            name="NVIDIA A30",
            memory_bytes=24 << 30,
            ecc=True,
            sm_clock_mhz=1440,
            memory_clock_mhz=1215,
            memory_bus_bits=3072,
            pcie_generation=4,
            pcie_lanes=16,
            num_nvlinks=4,
        ),
    )
    assert (report.driver, report.cuda, report.reason) == ("550.54.15", "12.4", "NVML")
    assert report.ecc_problems == []


def test_what_a_gpu_or_an_old_library_does_not_tell_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    card = Card(name=b"NVIDIA GeForce", ecc=None, total=None)
    taken = {"driver": b"470.1", "cuda": None, "nvmlDeviceGetMemoryBusWidth": None}
    install_nvml(monkeypatch, card, **taken)
    report = detect_gpus()
    (gpu,) = report.gpus
    assert (gpu.name, report.driver, report.cuda) == ("NVIDIA GeForce", "470.1", None)
    assert (gpu.ecc, gpu.memory_bus_bits, gpu.memory_bytes) == (None, None, None)
    assert gpu.num_nvlinks == 0
    assert "has no ECC memory" in report.ecc_problems[0]


def test_ecc_that_is_off_is_named_with_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    off = Card(ecc=[0, 1])
    install_nvml(monkeypatch, Card(), off, driver="550.54.15", cuda=12040)
    (problem,) = detect_gpus().ecc_problems
    assert problem.startswith("GPU 1 (NVIDIA A30) has ECC off")
    assert "nvidia-smi -i 1 -e 1" in problem
    ecc = next(check for check in all_checks() if check.name == "ECC")
    assert ecc.level is Level.WARN
    assert "GPU 1" in ecc.finding
    shown = next(check for check in all_checks() if check.name == "GPUs")
    assert shown.finding == "2 x NVIDIA A30 (sm_80), 24 GiB; driver 550.54.15, CUDA up to 12.4"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"nvmlInit": not_supported}, "NVML does not start"),
        ({"nvmlDeviceGetName": not_supported}, "NVML cannot describe the GPUs"),
        ({"nvmlDeviceGetCount": lambda: 0}, "NVML lists no GPU"),
    ],
)
def test_no_gpu_comes_with_its_reason(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, Callable[..., Any]], told: str
) -> None:
    install_nvml(monkeypatch, Card(), **changes)
    report = detect_gpus()
    assert report.gpus == ()
    assert told in report.reason


def test_nvml_is_shut_down_even_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    install_nvml(
        monkeypatch,
        Card(),
        nvmlDeviceGetName=not_supported,
        nvmlShutdown=lambda: calls.append("shutdown"),
    )
    detect_gpus()
    assert calls == ["shutdown"]


@pytest.mark.parametrize("driver", [True, False])
def test_a_driver_that_cannot_be_asked_is_not_a_machine_without_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, driver: bool
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setattr(gpus, "_DRIVER", tmp_path if driver else tmp_path / "none")
    report = detect_gpus()
    assert report.blind is driver
    assert "nvidia-ml-py" in report.reason
    shown = [check for check in all_checks() if check.name == "GPUs"]
    assert [check.level for check in shown] == ([Level.WARN] if driver else [])
    assert bool(report.ecc_problems) is driver


def test_a_report_of_several_kinds() -> None:
    good = Gpu(name="A", memory_bytes=1, ecc=True)
    report = GpuReport(gpus=(good, replace(good, ecc=False), replace(good, ecc=None)), reason="")
    assert [problem[:5] for problem in report.ecc_problems] == ["GPU 1", "GPU 2"]
