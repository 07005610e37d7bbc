"""Targets are consistent, and detection never guesses."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from build_engine.config import apply_overrides
from build_engine.errors import ConfigError, UnknownName
from build_engine.target import (
    detect_cpu_compute,
    detect_target,
    load_target,
    target_names,
)


class FakeNvmlError(Exception):
    pass


def install_nvml(
    monkeypatch: pytest.MonkeyPatch, names: Sequence[str | bytes], broken: bool = False
) -> list[str]:
    """Put a fake pynvml in place; returns the list of calls that open or close NVML."""
    calls: list[str] = []

    def start() -> None:
        if broken:
            raise FakeNvmlError("Driver Not Loaded")
        calls.append("init")

    fake = SimpleNamespace(
        NVMLError=FakeNvmlError,
        nvmlInit=start,
        nvmlShutdown=lambda: calls.append("shutdown"),
        nvmlDeviceGetCount=lambda: len(names),
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda index: names[index],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    return calls


def install_nvidia_smi(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setitem(sys.modules, "pynvml", None)


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_the_a30_is_what_its_datasheet_says() -> None:
    a30 = load_target("a30")

    assert (a30.sm, a30.memory_gib, a30.bandwidth_gb_s, a30.tdp_w, a30.ecc) == (
        80,
        24.0,
        933,
        165,
        True,
    )
    assert a30.dense_tflops == {
        "fp32": 10.3,
        "tf32": 82,
        "bf16": 165,
        "fp16": 165,
        "int8": 330,
        "int4": 661,
    }


@pytest.mark.parametrize("name", [name for name in target_names() if name != "cpu"])
def test_peaks_of_a_gpu_are_dense_ones(name: str) -> None:
    peaks = load_target(name).dense_tflops

    # On these GPUs dense tensor-core rates double when the width halves. A sparse figure that
    # slipped into one row would break a ratio; 2 % is for rounding in the datasheets.
    assert peaks["bf16"] == peaks["fp16"]
    assert peaks["bf16"] / peaks["tf32"] == pytest.approx(2, rel=0.02)
    assert peaks["int8"] / peaks["bf16"] == pytest.approx(2, rel=0.02)
    if "fp8" in peaks:
        assert peaks["fp8"] == peaks["int8"]


@pytest.mark.parametrize(
    ("name", "bf16"),
    [("a100-80gb", 312), ("l4", 121), ("l40s", 362), ("h100-sxm", 989.5), ("h200-sxm", 989.5)],
)
def test_no_row_holds_the_doubled_figures_of_sparsity(name: str, bf16: float) -> None:
    assert load_target(name).dense_tflops["bf16"] == pytest.approx(bf16, rel=0.001)


@pytest.mark.parametrize("name", [name for name in target_names() if name != "cpu"])
def test_a_gpu_has_an_fp8_peak_exactly_from_sm_89_on(name: str) -> None:
    target = load_target(name)

    assert target.sm is not None
    assert ("fp8" in target.dense_tflops) == (target.sm >= 89)


def test_the_cpu_has_no_invented_figures_and_says_why() -> None:
    cpu = load_target("cpu")

    figures = (cpu.sm, cpu.memory_gib, cpu.bandwidth_gb_s, cpu.tdp_w, cpu.ecc)
    assert figures == (None,) * 5
    assert cpu.dense_tflops == {}
    assert "differ from machine to machine" in cpu.sources[0]


def test_an_unknown_target_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"Unknown target `a31`\. Did you mean `a30`"):
        load_target("a31")


@pytest.mark.parametrize(
    ("name", "assignment", "words"),
    [
        ("a30", "dense_tflops.fp8=330", "sm_80 has no FP8 tensor cores"),
        ("a30", "dense_tflops.int7=330", "`int7` is not a precision; valid: fp32"),
        ("a30", "dense_tflops={int8: 330}", "needs `dense_tflops.bf16`"),
        ("a30", "dense_tflops.bf16=0", "must be greater than 0"),
        ("a30", "sm=null", "needs `sm`"),
        ("a30", "memory_gib=null", "needs `memory_gib`"),
        ("a30", "gpu_names=[]", "needs `gpu_names`"),
        ("a30", "name=../a30", "`name` must match pattern"),
        ("a30", "sources=[]", "`sources` must have at least 1"),
        ("cpu", "sm=80", "no `sm`"),
    ],
)
def test_an_inconsistent_target_is_refused(name: str, assignment: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        apply_overrides(load_target(name), [assignment])

    assert words in str(caught.value)


def test_nvml_is_asked_first_and_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = install_nvml(monkeypatch, ["NVIDIA A30", b"NVIDIA A30"])

    detected = detect_target()

    assert detected.value == "a30"
    assert detected.reason == "NVML reports 2 x NVIDIA A30"
    assert calls == ["init", "shutdown"]


@pytest.mark.parametrize("name", [name for name in target_names() if name != "cpu"])
def test_every_gpu_target_is_detected_by_its_names(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for gpu_name in load_target(name).gpu_names:
        install_nvml(monkeypatch, [gpu_name])
        assert detect_target().value == name


def test_an_unknown_gpu_gets_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, ["NVIDIA H200 NVL"])

    detected = detect_target()

    assert detected.value is None
    assert "NVIDIA H200 NVL" in detected.reason
    assert "h200-sxm" in detected.reason


def test_gpus_of_different_types_get_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, ["NVIDIA A30", "NVIDIA L4"])

    detected = detect_target()

    assert detected.value is None
    assert "1 x NVIDIA A30, 1 x NVIDIA L4" in detected.reason
    assert "--target" in detected.reason


def test_nvidia_smi_is_asked_without_pynvml(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_nvidia_smi(monkeypatch, tmp_path, "echo 'NVIDIA L40S'; echo 'NVIDIA L40S'")

    detected = detect_target()

    assert (detected.value, detected.reason) == ("l40s", "nvidia-smi reports 2 x NVIDIA L40S")


def test_nvidia_smi_is_asked_when_nvml_does_not_start(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_nvidia_smi(monkeypatch, tmp_path, "echo 'NVIDIA A30'")
    calls = install_nvml(monkeypatch, [], broken=True)

    assert detect_target().value == "a30"
    assert calls == []


def test_without_a_gpu_the_target_is_the_cpu_and_the_reason_names_both_attempts() -> None:
    detected = detect_target()

    assert detected.value == "cpu"
    assert "pynvml is not installed" in detected.reason
    assert "nvidia-smi is not on PATH" in detected.reason


def test_a_failing_nvidia_smi_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_nvidia_smi(monkeypatch, tmp_path, "echo 'Driver/library version mismatch'; exit 18")

    detected = detect_target()

    assert detected.value == "cpu"
    assert "nvidia-smi fails (Driver/library version mismatch)" in detected.reason


def test_an_nvidia_smi_that_is_no_program_is_no_gpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_nvidia_smi(monkeypatch, tmp_path, "")
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF, but not really")

    assert "nvidia-smi does not run" in detect_target().reason


def test_nvml_without_gpus_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, [])

    detected = detect_target()

    assert (detected.value, "NVML lists no GPU" in detected.reason) == ("cpu", True)


@pytest.mark.parametrize(
    ("flags", "value", "words"),
    [
        ("fpu avx2 avx512_bf16", "bf16", "avx512_bf16"),
        ("fpu amx_tile amx_bf16 avx512_bf16", "bf16", "amx_bf16 and avx512_bf16"),
        ("fpu avx2 avx512f", "f32", "neither amx_bf16 nor avx512_bf16"),
        ("fpu not_avx512_bf16", "f32", "neither"),
    ],
)
def test_cpu_compute_follows_the_flags(tmp_path: Path, flags: str, value: str, words: str) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: x\n", encoding="utf-8")

    detected = detect_cpu_compute(cpuinfo)

    assert detected.value == value
    assert words in detected.reason


def test_cpu_compute_without_cpuinfo_is_f32_with_the_reason(tmp_path: Path) -> None:
    detected = detect_cpu_compute(tmp_path / "absent")

    assert (detected.value, "cannot be read" in detected.reason) == ("f32", True)
