"""TensorRT-LLM and what belongs to it, each beside the version that is pinned."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from build_engine.trtllm.pin import PIN
from harness.doctor import libraries, pinned
from harness.doctor.check import Check, Level
from harness.doctor.checks import all_checks
from harness.doctor.libraries import library_checks
from harness.doctor.pinned import pinned_checks
from harness.machine import container
from harness.machine.container import cuda_toolkit, find_container
from tests.nvml_double import Card, install_nvml

LIBRARIES = ["TensorRT-LLM", "TensorRT", "torch", "transformers", "ModelOpt"]
NAMES = [*LIBRARIES, "CUDA", "Python", "trtllm-build", "container"]


@pytest.fixture(autouse=True)
def _its_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As far as versions, a program and variables make one."""
    install(monkeypatch)
    program = tmp_path / "bin" / "trtllm-build"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setenv("CUDA_VERSION", "13.1.0.036")
    monkeypatch.setenv("NVIDIA_PYTORCH_VERSION", "25.12")
    monkeypatch.delenv("NVIDIA_BUILD_ID", raising=False)
    monkeypatch.setattr(platform, "python_version", lambda: "3.12.3")
    mark = tmp_path / ".dockerenv"
    mark.touch()
    monkeypatch.setattr(container, "_MARKS", {"Docker": mark, "Podman": tmp_path / "none"})
    monkeypatch.setattr(container, "_TOOLKIT", tmp_path / "version.json")


def install(monkeypatch: pytest.MonkeyPatch, **others: str | None) -> None:
    """The pinned versions, but for these."""
    changed = {name.replace("_", "-"): version for name, version in others.items()}
    versions: dict[str, str | None] = {**PIN.distributions, "tensorrt": "10.14.1.48", **changed}
    for room in (libraries, pinned):
        monkeypatch.setattr(room, "installed_version", versions.get)


def found() -> dict[str, Check]:
    return {check.name: check for check in pinned_checks(has_gpus=True)}


def test_the_container_passes() -> None:
    told = found()
    assert list(told) == NAMES
    assert {check.level for check in told.values()} == {Level.PASS}
    assert told["TensorRT"].finding == "10.14.1.48, as pinned"
    assert told["CUDA"].finding == "13.1.0.036, as pinned"
    assert told["container"].finding == "in Docker, NVIDIA PyTorch image 25.12"


@pytest.mark.parametrize(
    ("library", "version", "name", "level"),
    [
        ("tensorrt_llm", "1.3.0", "TensorRT-LLM", Level.FAIL),
        ("tensorrt_llm", "1.2.10", "TensorRT-LLM", Level.FAIL),
        ("tensorrt", "10.13.2", "TensorRT", Level.FAIL),
        ("tensorrt", None, "TensorRT", Level.FAIL),
        ("nvidia_modelopt", "0.39.0", "ModelOpt", Level.WARN),
        ("nvidia_modelopt", None, "ModelOpt", Level.FAIL),
        ("transformers", "5.1.0", "transformers", Level.WARN),
        ("transformers", None, "transformers", Level.WARN),
        ("torch", "2.13.0", "torch", Level.WARN),
        ("torch", "a version", "torch", Level.WARN),
    ],
)
def test_another_version_is_said_with_the_pinned_one(
    monkeypatch: pytest.MonkeyPatch, library: str, version: str | None, name: str, level: Level
) -> None:
    install(monkeypatch, **{library: version})
    check = found()[name]
    assert check.level is level
    assert check.finding.startswith(f"{version or 'not found'}, and ")
    assert check.finding.endswith(" is pinned")
    assert PIN.container in check.remedy
    others = [each for each in found().values() if each.name != name]
    assert {each.level for each in others} == {Level.PASS}


def test_the_torch_of_the_container_is_a_preview_of_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for version in ("2.9.1", "2.9.1+cu130", "2.10.0a0+b4e4ee81d3.nv25.12"):
        install(monkeypatch, torch=version)
        assert found()["torch"].level is Level.PASS, version


def test_cuda_python_and_the_program_count_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VERSION", "12.9.1")
    monkeypatch.setattr(platform, "python_version", lambda: "3.10.12")
    monkeypatch.setenv("PATH", "/nowhere")
    told = found()
    assert told["CUDA"].finding == "12.9.1, and 13.1 is pinned"
    assert told["Python"].finding == "3.10.12, and 3.12 is pinned"
    assert told["trtllm-build"].finding == "not on PATH"
    levels = [told[name].level for name in ("CUDA", "Python", "trtllm-build")]
    assert levels == [Level.WARN, Level.WARN, Level.FAIL]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        (json.dumps({"cuda": {"name": "CUDA SDK", "version": "13.1.0"}, "nvcc": {}}), "13.1.0"),
        ('{"cuda": {"version": 13}}', None),
        ("[]", None),
        ("{", None),
        (None, None),
    ],
)
def test_the_toolkit_is_asked_where_the_image_does_not_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str | None, version: str | None
) -> None:
    monkeypatch.delenv("CUDA_VERSION")
    if text is not None:
        (tmp_path / "version.json").write_text(text)
    assert cuda_toolkit() == version


def test_no_container_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(container, "_MARKS", {})
    monkeypatch.delenv("NVIDIA_PYTORCH_VERSION")
    assert str(find_container()) == "none that says so"


def test_outside_of_it_one_line_has_the_pin_and_a_gpu_gets_the_remedy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    install(monkeypatch, tensorrt_llm=None)
    (alone,) = pinned_checks(has_gpus=False)
    assert (alone.level, alone.remedy) == (Level.WARN, "")
    absent, where = pinned_checks(has_gpus=True)
    assert PIN.container in absent.remedy
    assert where.name == "container"


def test_in_its_container_the_cpu_engine_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = [check for check in library_checks() if check.finding == "not installed"]
    assert {check.name for check in missing} >= {"openvino", "openvino-genai", "nncf"}
    assert {check.level for check in missing} == {Level.WARN}
    install(monkeypatch, tensorrt_llm=None)
    levels = {check.name: check.level for check in library_checks()}
    assert levels["openvino"] is Level.FAIL


def test_each_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    install_nvml(monkeypatch, Card())
    names = [check.name for check in all_checks()]
    assert len(names) == len(set(names))
    assert set(NAMES) < set(names)
