"""`doctor` looks at everything, and what it finds wrong comes with a remedy."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from build_engine.backend import BACKENDS
from build_engine.errors import EnvironmentFault
from build_engine.libraries import installed_version
from build_engine.target import Detected
from harness import doctor as checks
from harness.doctor import Check, all_checks
from harness.loadgen import installed
from harness.machine import facts

NAMES = [
    "machine",
    "target",
    "CPU arithmetic",
    "openvino",
    "openvino-genai",
    "nncf",
    "TensorRT-LLM",
    "MLPerf LoadGen",
    "cache",
]


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def _a_good_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "not" / "there" / "yet"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 0, 2**40))
    monkeypatch.setattr(checks, "installed_version", lambda name: "6.0.17")


def _found(name: str) -> Check:
    return next(check for check in all_checks() if check.name == name)


def test_a_good_machine_passes_everything_in_order() -> None:
    found = all_checks()
    assert [check.name for check in found] == NAMES
    assert [check.name for check in found if not check.ok] == []
    assert all(check.finding for check in found)


def _absent(*missing: str) -> Callable[[str], str | None]:
    return lambda name: None if name in missing else "6.0.17"


@pytest.mark.parametrize("library", ["openvino", "openvino-genai", "nncf"])
def test_a_missing_library_names_its_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "installed_version", _absent(library))
    check = _found(library)
    assert not check.ok
    assert check.required
    assert "enginebench[cpu]" in check.remedy
    assert [c.name for c in all_checks() if not c.ok] == [library]


def test_loadgen_must_be_importable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, int]:
        raise EnvironmentFault("No module named 'mlperf_loadgen'")

    monkeypatch.setattr(installed, "installed_seeds", broken)
    check = _found("MLPerf LoadGen")
    assert not check.ok
    assert "mlcommons-loadgen" in check.remedy
    monkeypatch.setattr(installed, "installed_version", _absent("mlcommons-loadgen"))
    assert "not installed" in _found("MLPerf LoadGen").finding


def test_tensorrt_llm_is_not_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "installed_version", _absent("tensorrt-llm"))
    check = _found("TensorRT-LLM")
    assert not check.ok
    assert not check.required
    assert "its container" in check.finding
    assert [c.name for c in all_checks() if not c.ok] == ["TensorRT-LLM"]


def test_a_new_backend_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    another = replace(
        BACKENDS["openvino"], name="toy", build_libraries=("toylib", "toytools"), extra="toy"
    )
    monkeypatch.setitem(BACKENDS, "toy", another)
    monkeypatch.setattr(checks, "installed_version", _absent("toytools"))
    assert _found("toylib").ok
    assert "enginebench[toy]" in _found("toytools").finding
    assert "toytools" in facts.library_versions()


def test_an_unknown_gpu_is_said_and_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "NVML reports 1 x NVIDIA Z9, which no target names"
    unknown: Detected[str | None] = Detected(None, reason)
    monkeypatch.setattr(checks, "detect_target", lambda: unknown)
    check = _found("target")
    assert not check.ok
    assert not check.required
    assert "NVIDIA Z9" in check.finding
    assert "--target" in check.remedy


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**29))
    check = _found("cache")
    assert not check.ok
    assert "0.5 GiB free" in check.finding
    assert "ENGINEBENCH_HOME" in check.remedy


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    check = _found("cache")
    assert not check.ok
    assert "is not writable" in check.finding
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "file"))
    check = _found("cache")
    assert not check.ok
    assert "is not a folder" in check.finding


def test_the_machine_is_described(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = facts.machine_facts()
    assert found.num_cpus >= 1
    assert found.memory_gib is not None
    assert found.memory_gib > 0
    assert f"{found.num_cpus} CPUs, {found.memory_gib} GiB" in _found("machine").finding


def test_a_machine_that_hides_what_it_is_is_described_with_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hidden(*arguments: object, **options: object) -> str:
        raise FileNotFoundError("no such file")

    monkeypatch.setattr("psutil.virtual_memory", hidden)
    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(platform, "freedesktop_os_release", hidden)
    bare = facts.machine_facts()
    assert bare.memory_gib is None
    assert bare.cpu == platform.machine()
    assert bare.operating_system == platform.platform()
    assert "unknown memory" in str(bare)


def test_versions_of_what_is_missing_are_none() -> None:
    assert installed_version("no-such-distribution-here") is None
    versions = facts.library_versions()
    assert versions["numpy"] is not None
    for backend in BACKENDS.values():
        assert set(backend.build_libraries) | set(backend.load_libraries) <= set(versions)
