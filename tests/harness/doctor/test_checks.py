"""`doctor` looks at everything, and what it finds wrong comes with a remedy."""

from __future__ import annotations

import platform
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from build_engine.backend import BACKENDS
from build_engine.errors import EnvironmentFault
from build_engine.libraries import installed_version
from build_engine.target import Detected, Target
from build_engine.trtllm.pin import PIN
from harness.doctor import checks, libraries, pinned
from harness.doctor.check import Check, Level
from harness.doctor.checks import all_checks
from harness.loadgen import installed
from harness.machine import facts

ROOT = Path(__file__).parents[3]
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
    _install(monkeypatch, "6.0.17")
    monkeypatch.setitem(sys.modules, "pynvml", None)


def _install(monkeypatch: pytest.MonkeyPatch, version: str, *missing: str) -> None:
    """Every library in this version but those, and TensorRT-LLM nowhere."""

    def installed_here(name: str) -> str | None:
        return None if name in (*missing, "tensorrt-llm") else version

    for room in (libraries, pinned):
        monkeypatch.setattr(room, "installed_version", installed_here)


def _problems() -> list[tuple[str, Level]]:
    return [(c.name, c.level) for c in all_checks() if c.level is not Level.PASS]


def _found(name: str) -> Check:
    return next(check for check in all_checks() if check.name == name)


def test_a_good_machine_passes_everything_in_order() -> None:
    found = all_checks()
    assert [check.name for check in found] == NAMES
    assert [check.name for check in found if check.level is Level.FAIL] == []
    assert [check.name for check in found if check.remedy] == []
    assert all(check.finding for check in found)


@pytest.mark.parametrize("library", ["openvino", "openvino-genai", "nncf"])
def test_a_missing_library_names_its_extra(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _install(monkeypatch, "6.0.17", library)
    check = _found(library)
    assert check.level is Level.FAIL
    assert "enginebench[cpu]" in check.remedy
    assert _problems() == [(library, Level.FAIL), ("TensorRT-LLM", Level.WARN)]


def test_loadgen_must_be_importable_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> dict[str, int]:
        raise EnvironmentFault("No module named 'mlperf_loadgen'")

    monkeypatch.setattr(installed, "installed_seeds", broken)
    check = _found("MLPerf LoadGen")
    assert check.level is Level.FAIL
    assert "mlcommons-loadgen" in check.remedy
    monkeypatch.setattr(installed, "installed_version", lambda name: None)
    assert "not installed" in _found("MLPerf LoadGen").finding


def test_tensorrt_llm_is_not_required_and_takes_one_line_with_its_pin() -> None:
    check = _found("TensorRT-LLM")
    assert check.level is Level.WARN
    assert "its container" in check.finding
    assert all(version in check.finding for version in PIN.distributions.values())
    assert f"CUDA {PIN.cuda}, Python {PIN.python}" in check.finding
    assert _problems() == [("TensorRT-LLM", Level.WARN)]


def test_a_new_backend_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    another = replace(
        BACKENDS["openvino"], name="toy", build_libraries=("toylib", "toytools"), extra="toy"
    )
    monkeypatch.setitem(BACKENDS, "toy", another)
    _install(monkeypatch, "6.0.17", "toytools")
    assert _found("toylib").level is Level.PASS
    assert "not installed" in _found("toytools").finding
    assert "enginebench[toy]" in _found("toytools").remedy
    assert "toytools" in facts.library_versions()


def test_an_unknown_gpu_is_said_and_not_fatal(monkeypatch: pytest.MonkeyPatch) -> None:
    reason = "NVML reports 1 x NVIDIA Z9, which no target names"
    unknown: Detected[str | None] = Detected(None, reason)
    monkeypatch.setattr(checks, "detect_target", lambda: unknown)
    check = _found("target")
    assert check.level is Level.WARN
    assert "NVIDIA Z9" in check.finding
    assert "--target" in check.remedy
    place = re.search(r"beside (\S+\.yaml)", check.remedy)
    assert place is not None
    assert Path(place.group(1)).is_file()
    assert '"Another GPU"' in check.remedy


def test_the_manual_has_every_field_of_a_target_file() -> None:
    text = (ROOT / "docs" / "a30.md").read_text(encoding="utf-8")
    section = text.partition("\n## Another GPU\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(
        Target.model_fields
    )


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(2**40, 2**40, 2**29))
    check = _found("cache")
    assert check.level is Level.FAIL
    assert "0.5 GiB free" in check.finding
    assert "ENGINEBENCH_HOME" in check.remedy


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    check = _found("cache")
    assert check.level is Level.FAIL
    assert "is not writable" in check.finding
    monkeypatch.undo()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "file"))
    check = _found("cache")
    assert check.level is Level.FAIL
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
