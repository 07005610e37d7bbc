"""The GPUs that programs see are those that CUDA shows them, and who fills one is named."""

from __future__ import annotations

import os

import pytest

from build_engine.errors import EnvironmentFault
from build_engine.gpu import GpuState, read_gpu, visible_gpus
from build_engine.target import detect_target
from tests.nvml_double import GIB, Card, install_nvml, not_supported

A30 = Card(uuid="GPU-aa11")
L4 = Card(name="NVIDIA L4", uuid="GPU-bb22", capability=(8, 9))
SLICES = (
    Card(name="NVIDIA A30 MIG 1g.6gb", uuid="MIG-11", total=6 * GIB, capability=None, mig=None),
    Card(name="NVIDIA A30 MIG 2g.12gb", uuid="MIG-22", total=12 * GIB, capability=None, mig=None),
)
DIVIDED = Card(uuid="GPU-aa11", mig=[1, 1], instances=SLICES)


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        (None, ["GPU-aa11", "GPU-bb22"]),
        ("1", ["GPU-bb22"]),
        ("1,0", ["GPU-bb22", "GPU-aa11"]),
        (" 1 , 7, 0", ["GPU-bb22"]),  # what comes after one that is not there is not shown either
        ("GPU-bb", ["GPU-bb22"]),
        ("0,-1,1", ["GPU-aa11"]),
    ],
)
def test_a_variable_says_which_gpus_programs_see(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, shown: list[str]
) -> None:
    install_nvml(monkeypatch, A30, L4)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [gpu.uuid for gpu in visible_gpus()] == shown


@pytest.mark.parametrize("visible", ["", "-1", "7", "GPU-zz", "MIG-11", "none", "²"])
def test_a_variable_that_shows_none(monkeypatch: pytest.MonkeyPatch, visible: str) -> None:
    install_nvml(monkeypatch, A30)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(EnvironmentFault, match=f"CUDA_VISIBLE_DEVICES={visible} shows no GPU"):
        read_gpu()
    found = detect_target()
    assert found.value == "cpu"
    assert "shows no GPU to programs" in found.reason


def test_of_a_divided_gpu_programs_see_an_instance(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, DIVIDED)
    assert [gpu.name for gpu in visible_gpus()] == [card.name for card in SLICES]
    first = read_gpu()
    assert (first.total_bytes, first.sm) == (6 * GIB, 80)  # the SM is that of the whole
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-22")
    assert read_gpu().name == "NVIDIA A30 MIG 2g.12gb"
    found = detect_target()
    assert found.value is None
    assert "NVIDIA A30 MIG 2g.12gb, which no target names" in found.reason


def test_a_divided_gpu_without_an_instance_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, Card(mig=[1, 1]))
    with pytest.raises(EnvironmentFault, match="MIG is on and no GPU has an instance; switch it"):
        read_gpu()


def test_a_gpu_that_reports_nothing_but_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    mute = dict.fromkeys(
        (
            "nvmlDeviceGetUUID",
            "nvmlDeviceGetCudaComputeCapability",
            "nvmlDeviceGetMemoryInfo",
            "nvmlDeviceGetComputeRunningProcesses",
            "nvmlDeviceGetMigMode",
        ),
        not_supported,
    )
    install_nvml(monkeypatch, Card(name=b"NVIDIA \xff"), **mute)
    assert read_gpu() == GpuState(
        number=0,
        uuid=None,
        name="NVIDIA �",
        sm=None,
        total_bytes=None,
        free_bytes=None,
        holders=(),
    )
    read_gpu().require_free(2**60, "this", "that")  # nothing is known, so nothing is refused


def test_too_little_memory_names_who_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    held = ((os.getpid(), 3 * 10**9), (2**22 + 1, 5 * 10**9), (2**22 + 2, None))
    install_nvml(monkeypatch, Card(free=10**9, processes=held))
    with pytest.raises(EnvironmentFault) as caught:
        read_gpu().require_free(3 * 10**9, "this engine needs", "take another")
    told = str(caught.value)
    assert "NVIDIA A30 has 1.0 GB of memory free" in told
    assert "this engine needs about 3.0 GB, 2.0 GB more: process 4194305 (outside of" in told
    assert f"holds 5.0 GB, process {os.getpid()} (" in told
    assert "process 4194306 (outside of this container); end what uses it, or take another." in told
