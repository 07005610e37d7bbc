"""What this machine cannot do is refused before a checkpoint is fetched, or an engine started."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build_engine.checkpoint import resolve
from build_engine.errors import EnvironmentFault
from build_engine.trtllm.pin import PIN
from harness.cli.main import run
from runtime.backend import load
from runtime.trtllm.spec import TRTLLMSpec
from tests.contract.doubled import install_doubles, write_engine
from tests.contract.machines import set_up
from tests.nvml_double import Card, install_nvml, not_supported

BUILD = ("build", "--model", "meta-llama/Llama-3.1-8B-Instruct", "--target", "a30")
RUN = ("run", *BUILD[1:], "--scenario", "Offline", "--count", "8")
FULL = Card(uuid="GPU-aa11")
L4 = Card(name="NVIDIA L4", uuid="GPU-bb22", capability=(8, 9))
SLICE = Card(name="NVIDIA A30 MIG 1g.6gb", uuid="MIG-11", total=6 * 2**30, mig=None)


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The checkpoints that were asked for."""
    names: list[str] = []

    def fetch(name: str, *arguments: Any) -> Any:
        names.append(name)
        raise EnvironmentFault("the checkpoint was asked for")

    monkeypatch.setattr(resolve, "resolve_checkpoint", fetch)
    return names


@pytest.mark.parametrize("words", [BUILD, RUN])
@pytest.mark.parametrize(
    ("cards", "told"),
    [
        ((), "there is none here (NVML lists no GPU); `enginebench build --stage quantise`"),
        ((L4,), "are compiled on NVIDIA A30, and this machine has NVIDIA L4; build for `--target"),
        ((FULL, L4), "(0: NVIDIA A30, 1: NVIDIA L4), and which of them comes first"),
        ((FULL, L4), "with CUDA_VISIBLE_DEVICES=GPU-aa11 ("),
        ((replace(FULL, mig=[1, 1], instances=(SLICE,)),), "has NVIDIA A30 MIG 1g.6gb; take the"),
        ((replace(FULL, mig=[1, 1]),), "MIG is on and no GPU has an instance"),
        ((replace(FULL, name="NVIDIA\x1b[0m 🂡"),), "this machine has NVIDIA"),
        ((replace(FULL, capability=(8, 6)),), "NVIDIA A30 has sm_86 here"),
    ],
)
def test_another_machine_than_the_target_s_is_refused_before_the_checkpoint_comes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fetched: list[str],
    words: tuple[str, ...],
    cards: tuple[Card, ...],
    told: str,
) -> None:
    set_up(monkeypatch, tmp_path)
    install_nvml(monkeypatch, *cards)
    output = ("--output", str(tmp_path / "run")) if words is RUN else ()
    assert run([*words, "--recipe", "int8_sq", *output]) == 3
    assert told in capsys.readouterr().err
    assert fetched == []


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        ({"tensorrt_llm": "1.1.0"}, f"tensorrt-llm 1.1.0 is installed, .* {PIN.tensorrt_llm}"),
        ({"transformers": "5.0.0"}, "`transformers` is 5.0.0, with which Model Optimizer"),
        ({"nvidia_modelopt": "0.40.0"}, "`nvidia-modelopt` is 0.40.0"),
    ],
)
def test_another_version_is_refused_before_the_checkpoint_comes(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fetched: list[str],
    versions: dict[str, str],
    told: str,
) -> None:
    set_up(monkeypatch, tmp_path, **versions)
    assert run([*BUILD, "--recipe", "int8_sq"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(told, said)
    assert fetched == []


def test_a_quantised_checkpoint_that_may_be_the_one_is_looked_for_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fetched: list[str]
) -> None:
    set_up(monkeypatch, tmp_path, transformers="5.0.0")
    for name in ("int8_sq_static-0123", "int8_sq-0123"):
        assert run([*BUILD, "--recipe", "int8_sq"]) == 3
        assert fetched == []
        made = tmp_path / "home" / "quantised" / "a-model" / name / "checkpoint.json"
        made.parent.mkdir(parents=True)
        made.touch()
    assert run([*BUILD, "--recipe", "int8_sq"]) == 3
    assert len(fetched) == 1


def test_the_first_stage_needs_its_libraries_and_no_gpu(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    fetched: list[str],
) -> None:
    set_up(monkeypatch, tmp_path, transformers="5.0.0")
    install_nvml(monkeypatch)
    assert run([*BUILD, "--recipe", "int8_sq", "--stage", "quantise"]) == 3
    assert "`transformers` is 5.0.0" in capsys.readouterr().err
    assert fetched == []
    assert run([*BUILD, "--recipe", "int8_wo", "--stage", "quantise"]) == 3  # needs none of them
    assert fetched == ["meta-llama/Llama-3.1-8B-Instruct"]


@pytest.mark.parametrize("words", [(*BUILD, "--dry-run"), (*BUILD, "--stage", "quantise")])
def test_what_needs_no_gpu_is_not_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fetched: list[str], words: tuple[str, ...]
) -> None:
    set_up(monkeypatch, tmp_path)
    install_nvml(monkeypatch, L4)
    assert run([*words, "--recipe", "int8_sq"]) == 3
    assert fetched == ["meta-llama/Llama-3.1-8B-Instruct"]


def test_a_recipe_is_refused_before_the_machine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fetched: list[str]
) -> None:
    install_nvml(monkeypatch)
    assert run([*BUILD, "--recipe", "fp8"]) == 2
    assert "`fp8` is refused on `a30`" in capsys.readouterr().err
    assert fetched == []


def test_the_cpu_engine_s_libraries_are_looked_for_first_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fetched: list[str]
) -> None:
    monkeypatch.setattr("build_engine.backend.installed_version", lambda name: None)
    words = ("build", "--model", "meta-llama/x", "--target", "cpu", "--recipe", "bf16")
    assert run([*words]) == 3
    assert re.search(r"-m pip install .*\[cpu\]'", capsys.readouterr().err)
    assert fetched == []


def test_a_full_gpu_starts_no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_doubles(tmp_path / "doubles", monkeypatch)
    engine = write_engine(tmp_path / "engine")
    install_nvml(monkeypatch, replace(FULL, free=2**10, processes=((os.getpid(), 23 * 2**30),)))
    with pytest.raises(EnvironmentFault) as caught:
        load(TRTLLMSpec(folder=engine))
    told = str(caught.value)
    assert "NVIDIA A30 has 1.0 kB of memory free, and engine `engine` needs about" in told
    assert f" more: process {os.getpid()} (" in told
    assert not (tmp_path / "journal").exists()  # the library was asked for nothing


@pytest.mark.parametrize(
    "changed", [{"nvmlDeviceGetMemoryInfo": not_supported}, {"nvmlInit": not_supported}]
)
def test_a_gpu_that_does_not_say_what_is_free_is_tried(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: dict[str, Any]
) -> None:
    install_doubles(tmp_path / "doubles", monkeypatch)
    engine = write_engine(tmp_path / "engine")
    install_nvml(monkeypatch, FULL, **changed)
    load(TRTLLMSpec(folder=engine)).close()


def test_another_gpu_than_the_first_is_asked_about(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    install_doubles(tmp_path / "doubles", monkeypatch)
    engine = write_engine(tmp_path / "engine")
    install_nvml(monkeypatch, FULL, replace(FULL, uuid="GPU-cc33", free=2**10))
    load(TRTLLMSpec(folder=engine, gpu=0)).close()
    with pytest.raises(EnvironmentFault, match=r"1\.0 kB of memory free"):
        load(TRTLLMSpec(folder=engine, gpu=1))
