"""What `doctor` says of GPUs: each finding with its level and remedy, whatever they report."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

import pytest

from build_engine.trtllm.pin import PIN
from harness.doctor import gpus as checks
from harness.doctor.check import Check, Level
from harness.doctor.gpus import OLDEST_DRIVER, gpu_checks
from harness.machine.gpus import detect_gpus
from tests.nvml_double import GIB, Card, install_nvml, not_supported, nvml_module

A30 = Card()
QUERIES = [
    name
    for name in vars(nvml_module(A30))
    if name.startswith(("nvmlD", "nvmlS")) and "HandleByIndex" not in name
]


def found(monkeypatch: pytest.MonkeyPatch, *cards: Card, **changed: Any) -> dict[str, Check]:
    install_nvml(monkeypatch, *cards, **changed)
    return {check.name: check for check in gpu_checks(detect_gpus())}


def test_a_good_a30_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    told = found(monkeypatch, A30)
    assert {check.level for check in told.values()} == {Level.PASS}
    assert {name: check.finding for name, check in told.items()} == {
        "GPUs": "1 x NVIDIA A30 (sm_80), 24 GiB; driver 590.48.01, CUDA up to 13.1",
        "driver": "590.48.01 runs CUDA 13.1",
        "MIG": "off",
        "ECC": "on",
        "clocks": "SM 210 of 1440 MHz, memory 1215 of 1215 MHz",
        "power limit": "165 W, the card's default is 165 W; persistence mode on",
        "GPU memory": "24.7 GB of 25.8 GB free",
    }


def test_a_machine_without_a_gpu_hears_nothing_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch) == {}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_checks(detect_gpus()) == []


def test_a_container_that_sees_no_gpu_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "installed_version", lambda name: PIN.distributions[name])
    (check,) = found(monkeypatch).values()
    assert check.level is Level.FAIL
    assert check.finding == "TensorRT-LLM is installed, and there is none: NVML lists no GPU"
    assert "--gpus all" in check.remedy


def test_the_pinned_cuda_has_a_known_oldest_driver() -> None:
    assert OLDEST_DRIVER[int(PIN.cuda.partition(".")[0])] == 580


@pytest.mark.parametrize(
    ("driver", "cuda", "level", "told"),
    [
        ("590.44.01", 13010, Level.PASS, "590.44.01 runs CUDA 13.1"),
        ("610.43.02", 13030, Level.PASS, "610.43.02 runs CUDA 13.1"),
        ("700.1", 14000, Level.PASS, "700.1 runs CUDA 13.1"),
        ("580.65.06", 13000, Level.PASS, "by minor version compatibility (needs 580 or newer)"),
        # the compatibility package of a data-centre GPU brings its own CUDA
        ("535.261.03", 13010, Level.PASS, "535.261.03 runs CUDA 13.1"),
        ("575.57.08", 12090, Level.WARN, "575.57.08 is too old for CUDA 13.1, which needs 580"),
        ("575.57.08", None, Level.WARN, "is too old for CUDA 13.1"),
        ("580.65.06", None, Level.PASS, "by minor version compatibility"),
        (None, 13010, Level.PASS, "version not reported; runs CUDA 13.1"),
        (None, None, Level.WARN, "version not reported; CUDA 13.1 needs 580 or newer"),
        ("a driver", None, Level.WARN, "version a driver; CUDA 13.1 needs 580 or newer"),
        (None, 12040, Level.WARN, "version not reported; is too old for CUDA 13.1"),
    ],
)
def test_a_driver_is_held_against_the_pinned_cuda(
    monkeypatch: pytest.MonkeyPatch, driver: str | None, cuda: int | None, level: Level, told: str
) -> None:
    check = found(monkeypatch, A30, driver=driver, cuda=cuda)["driver"]
    assert check.level is level
    assert told in check.finding
    assert ("install driver 580 or newer" in check.remedy) == (level is not Level.PASS)


def test_an_old_driver_fails_where_tensorrt_llm_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checks, "installed_version", lambda name: PIN.distributions[name])
    check = found(monkeypatch, A30, driver="550.54.15", cuda=12040)["driver"]
    assert check.level is Level.FAIL
    assert "cuda-compat-13-1" in check.remedy


@pytest.mark.parametrize(
    ("bits", "told"),
    [
        (0x1 | 0x8 | 0x40, "hardware slowdown, slowed by its temperature, in hardware"),
        (0x2, "application clocks are set"),
        (0x4 | 0x80, "held down by the power limit, slowed by the power supply's brake"),
        (0x20, "slowed by its temperature"),
    ],
)
def test_a_slowed_gpu_says_why(monkeypatch: pytest.MonkeyPatch, bits: int, told: str) -> None:
    check = found(monkeypatch, replace(A30, reasons=bits))["clocks"]
    assert check.level is Level.WARN
    assert check.finding.endswith(f"; {told}")
    assert "nvidia-smi -q -d PERFORMANCE" in check.remedy


def test_an_idle_gpu_is_not_slowed_and_old_drivers_are_asked_by_the_old_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = found(
        monkeypatch,
        A30,
        nvmlDeviceGetCurrentClocksEventReasons=None,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x8,
    )["clocks"]
    assert "hardware slowdown" in clocks.finding


def test_a_lowered_power_limit_comes_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    lowered = replace(A30, power_limit=100_000, persistence=0)
    check = found(monkeypatch, A30, lowered)["power limit"]
    assert check.level is Level.WARN
    assert "GPU 1: 100 W, the card's default is 165 W; persistence mode off" in check.finding
    assert check.remedy == "give it back: `sudo nvidia-smi -i 1 -pl 165`"
    raised = replace(A30, power_limit=200_000)
    assert found(monkeypatch, raised)["power limit"].level is Level.PASS


def test_who_holds_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    held = replace(A30, free=4 * GIB, processes=((os.getpid(), 20 * 10**9), (2**22 + 1, None)))
    check = found(monkeypatch, held)["GPU memory"]
    assert check.level is Level.WARN
    assert "4.3 GB of 25.8 GB free; process" in check.finding
    assert "holds 20.0 GB, process 4194305 (outside of this container)" in check.finding
    assert "end what uses the GPU" in check.remedy


def test_memory_that_nobody_seems_to_hold_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    check = found(monkeypatch, replace(A30, free=12 * GIB))["GPU memory"]
    assert check.level is Level.WARN
    assert "held by processes that the driver does not show here" in check.finding


def test_a_divided_gpu_says_what_programs_see(monkeypatch: pytest.MonkeyPatch) -> None:
    part = Card(name="NVIDIA A30 MIG 1g.6gb", total=6 * GIB, mig=None)
    mute = replace(part, name="NVIDIA A30 MIG 2g.12gb", total=None)
    check = found(monkeypatch, A30, replace(A30, mig=[1, 1], instances=(part, mute)))["MIG"]
    assert check.level is Level.WARN
    assert check.finding == (
        "GPU 0: off; GPU 1: on: programs see one of NVIDIA A30 MIG 1g.6gb, 6.4 GB, NVIDIA A30 MIG "
        "2g.12gb, memory not reported"
    )
    assert "sudo nvidia-smi -i 1 -mig 0" in check.remedy
    empty = found(monkeypatch, replace(A30, mig=[1, 1]))["MIG"]
    assert "without an instance: programs see no GPU" in empty.finding
    assert "MIG" not in found(monkeypatch, replace(A30, mig=None))


def test_unlike_gpus_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Card(name="NVIDIA L4\x1b[31m", capability=(8, 9), max_clocks={1: 2040, 2: 6251})
    told = found(monkeypatch, A30, other, A30)
    assert told["GPUs"].finding.startswith("2 x NVIDIA A30 (sm_80), 24 GiB; 1 x NVIDIA L4")
    assert told["clocks"].finding == (
        "GPU 0, 2: SM 210 of 1440 MHz, memory 1215 of 1215 MHz; GPU 1: SM 210 of 2040 MHz, memory "
        "1215 of 6251 MHz"
    )


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_fails_is_not_reported_and_no_crash(
    monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    told = found(monkeypatch, A30, **{query: not_supported})
    assert "GPUs" in told or told == {}
    assert Level.FAIL not in {check.level for check in told.values()}


def test_a_gpu_that_reports_only_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ("nvmlDeviceGetName", "nvmlDeviceGetCount")
    mute = {query: not_supported for query in QUERIES if query not in kept}
    told = found(monkeypatch, A30, **mute)
    assert told["GPUs"].finding == (
        "1 x NVIDIA A30, memory not reported; driver not reported, CUDA up to not reported"
    )
    assert told["clocks"].finding == "SM ? of ? MHz, memory ? of ? MHz, not reported what slows it"
    assert told["power limit"].finding == (
        "not reported, the card's default is not reported; persistence mode not reported"
    )
    assert told["GPU memory"].finding == "free memory not reported"
    assert {told[name].level for name in ("clocks", "power limit", "GPU memory")} == {Level.PASS}


def test_a_gpu_that_is_lost_between_two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, A30)
    report = detect_gpus()
    install_nvml(monkeypatch, A30, nvmlDeviceGetName=not_supported)
    (check,) = gpu_checks(report)
    assert check.level is Level.WARN
    assert "cannot be asked: NVML cannot describe the GPUs" in check.finding
