"""NVML tells what the GPUs are, and ECC that is off is never passed over."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.doctor import all_checks
from harness.machine import gpus
from harness.machine.gpus import Gpu, GpuReport, detect_gpus


class FakeNvmlError(Exception):
    pass


def not_supported(*arguments: Any) -> Any:
    raise FakeNvmlError("Not Supported")


# One A30, as nvidia-smi shows one.
A30: Mapping[str, Callable[..., Any]] = {
    "nvmlInit": lambda: None,
    "nvmlShutdown": lambda: None,
    "nvmlDeviceGetCount": lambda: 1,
    "nvmlDeviceGetHandleByIndex": lambda index: index,
    "nvmlSystemGetDriverVersion": lambda: "550.54.15",
    "nvmlSystemGetCudaDriverVersion": lambda: 12040,
    "nvmlDeviceGetName": lambda handle: "NVIDIA A30",
    "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(total=24 << 30, free=1),
    "nvmlDeviceGetEccMode": lambda handle: [1, 1],
    "nvmlDeviceGetMigMode": lambda handle: [0, 0],
    "nvmlDeviceGetEnforcedPowerLimit": lambda handle: 165_000,
    "nvmlDeviceGetNvLinkState": lambda handle, link: 1 if link < 4 else not_supported(),
    "nvmlDeviceGetMaxClockInfo": lambda handle, clock: {1: 1440, 2: 1215}[clock],
    "nvmlDeviceGetMemoryBusWidth": lambda handle: 3072,
    "nvmlDeviceGetMaxPcieLinkGeneration": lambda handle: 4,
    "nvmlDeviceGetMaxPcieLinkWidth": lambda handle: 16,
}


def install(
    monkeypatch: pytest.MonkeyPatch, **changes: Callable[..., Any] | None
) -> SimpleNamespace:
    """A pynvml with these functions; None takes one away."""
    functions = {name: made for name, made in {**A30, **changes}.items() if made is not None}
    fake = SimpleNamespace(NVMLError=FakeNvmlError, NVML_CLOCK_SM=1, NVML_CLOCK_MEM=2, **functions)
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return fake


def test_an_a30_is_described(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
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
    install(
        monkeypatch,
        nvmlDeviceGetName=lambda handle: b"NVIDIA GeForce",
        nvmlSystemGetDriverVersion=lambda: b"470.1",
        nvmlSystemGetCudaDriverVersion=not_supported,
        nvmlDeviceGetEccMode=not_supported,
        nvmlDeviceGetMemoryBusWidth=None,
        nvmlDeviceGetNvLinkState=not_supported,
    )
    report = detect_gpus()
    (gpu,) = report.gpus
    assert (gpu.name, report.driver, report.cuda) == ("NVIDIA GeForce", "470.1", None)
    assert (gpu.ecc, gpu.memory_bus_bits) == (None, None)
    assert gpu.num_nvlinks == 0
    assert "has no ECC memory" in report.ecc_problems[0]


def test_ecc_that_is_off_is_named_with_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        monkeypatch,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetEccMode=lambda handle: [0, 1] if handle == 1 else [1, 1],
    )
    (problem,) = detect_gpus().ecc_problems
    assert problem.startswith("GPU 1 (NVIDIA A30) has ECC off")
    assert "nvidia-smi -i 1 -e 1" in problem
    ecc = next(check for check in all_checks() if check.name == "ECC")
    assert not ecc.ok
    assert "GPU 1" in ecc.finding
    shown = next(check for check in all_checks() if check.name == "GPUs")
    assert shown.finding == "2 x NVIDIA A30, 24 GiB; driver 550.54.15, CUDA up to 12.4"


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
    install(monkeypatch, **changes)
    report = detect_gpus()
    assert report.gpus == ()
    assert told in report.reason


def test_nvml_is_shut_down_even_when_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    install(
        monkeypatch,
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
    assert [(check.ok, check.required) for check in shown] == ([(False, False)] if driver else [])
    assert bool(report.ecc_problems) is driver


def test_a_report_of_several_kinds() -> None:
    good = Gpu(name="A", memory_bytes=1, ecc=True)
    report = GpuReport(gpus=(good, replace(good, ecc=False), replace(good, ecc=None)), reason="")
    assert [problem[:5] for problem in report.ecc_problems] == ["GPU 1", "GPU 2"]


@pytest.mark.skipif(importlib.util.find_spec("pynvml") is None, reason="needs nvidia-ml-py")
@pytest.mark.parametrize("name", [*A30, "NVML_CLOCK_SM", "NVML_CLOCK_MEM", "NVMLError"])
def test_the_real_library_has_what_is_asked(name: str) -> None:
    assert hasattr(importlib.import_module("pynvml"), name)
