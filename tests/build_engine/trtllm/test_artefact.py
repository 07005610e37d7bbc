"""A quantised checkpoint is made once, published whole and found by its content."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import build_engine.trtllm.quantise as quantise_module
from build_engine.checkpoint.checkpoint import Checkpoint
from build_engine.errors import (
    CheckpointError,
    EngineError,
    EnvironmentFault,
    OutputError,
    RunFailed,
)
from build_engine.paths import cache_root
from build_engine.progress import BuildProgress, NullProgress
from build_engine.roofline.memory import checkpoint_bytes
from build_engine.store.quantised import MANIFEST_NAME, open_quantised
from build_engine.store.sealed import write_sealed
from build_engine.store.spec import EngineSpec
from build_engine.trtllm.artefact import identity_of, quantised_checkpoint
from build_engine.trtllm.quantise import Quantised
from build_engine.trtllm.sizes import build_needs
from tests.build_engine.specs import Notes, versions
from tests.build_engine.trtllm.specs import RandomExport, gpu_spec, untied_checkpoint
from tests.nvml_double import Card, install_nvml

WITH_MODELOPT = {"nvidia_modelopt": "0.37.0", "transformers": "4.57.3", "torch": "2.9.1"}


@pytest.fixture(autouse=True)
def export(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RandomExport:
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "home"))
    versions(monkeypatch, **WITH_MODELOPT)
    instead = RandomExport()
    monkeypatch.setattr(quantise_module, "run_job", instead)
    return instead


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return untied_checkpoint(tmp_path / "untied")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _date(folder: Path, started_utc: str) -> None:
    manifest = open_quantised(folder).manifest
    build = manifest.build.model_copy(update={"started_utc": started_utc})
    dated = manifest.model_copy(update={"build": build})
    write_sealed(folder / MANIFEST_NAME, dated)


@pytest.mark.parametrize(
    ("gpu", "recipe", "told"),
    [
        (False, "int8_sq", "take one with a GPU, which holds half of it"),
        (True, "int8_sq", "or take a larger machine"),
        (False, "int8_wo", "or take a larger machine"),
    ],
)
def test_too_little_host_memory_is_told_before_anything_is_quantised(
    checkpoint: Checkpoint,
    export: RandomExport,
    monkeypatch: pytest.MonkeyPatch,
    gpu: bool,
    recipe: str,
    told: str,
) -> None:
    install_nvml(monkeypatch, *([Card()] if gpu else []))
    whole = checkpoint_bytes(checkpoint.config)
    spec = gpu_spec(checkpoint, recipe)
    needs = build_needs(checkpoint.config, spec.recipe, spec.limits)
    least = needs.quantise_host + (0 if gpu else needs.quantise_device)
    assert least == {("int8_sq", False): 2 * whole, ("int8_sq", True): whole}.get(
        (recipe, gpu), needs.quantise_host
    )
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: least - 1)
    with pytest.raises(EnvironmentFault, match=f"quantising this checkpoint needs .*{told}"):
        quantised_checkpoint(spec, NullProgress())
    assert export.jobs == 0
    monkeypatch.setattr("build_engine.free_memory.available_bytes", lambda: least)
    assert quantised_checkpoint(spec, NullProgress()).is_dir()


def test_a_full_disk_is_told_before_anything_is_quantised(
    checkpoint: Checkpoint, export: RandomExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=2**10))
    with pytest.raises(EnvironmentFault, match=r"1\.0 kB of disk is free .* this quantised"):
        quantised_checkpoint(gpu_spec(checkpoint, "int8_sq"), NullProgress())
    assert export.jobs == 0


def test_a_checkpoint_is_made_once_and_says_how(
    checkpoint: Checkpoint, export: RandomExport
) -> None:
    spec, told = gpu_spec(checkpoint, "int8_sq"), Notes()
    folder = quantised_checkpoint(spec, told)
    again = quantised_checkpoint(spec, told)
    manifest = open_quantised(folder).manifest

    assert again == folder
    assert export.jobs == 1
    assert names(folder) == ["checkpoint.json", "config.json", "rank0.safetensors"]
    assert names(folder.parent) == [folder.name]
    assert told.phases == ["calibration", "weights", "checksums"]
    assert "at most 1.0 kB of host memory" in told.notes[-1]
    assert manifest.identity.libraries["nvidia-modelopt"] == "0.37.0"
    assert manifest.libraries == {
        "nvidia-modelopt": "0.37.0",
        "transformers": "4.57.3",
        "torch": "2.9.1",
    }
    assert manifest.identity.seed == 1234
    assert manifest.identity.recipe.smoothquant_alpha == 0.5
    assert manifest.identity.calibration is not None
    assert spec.calibration is not None
    assert manifest.identity.calibration.digest == spec.calibration.digest
    assert manifest.calibration is not None
    assert manifest.calibration.num_prompts == 4
    assert manifest.precision.activations == "int8, one scale per token"
    assert set(manifest.files) == {"config.json", "rank0.safetensors"}


def test_every_engine_of_the_same_weights_uses_the_same_checkpoint(checkpoint: Checkpoint) -> None:
    small = gpu_spec(checkpoint, "int8_sq")
    large = replace(small, limits=replace(small.limits, max_batch_size=8, max_num_tokens=512))

    assert quantised_checkpoint(small, NullProgress()) == quantised_checkpoint(
        large, NullProgress()
    )


@pytest.mark.parametrize(
    "other",
    [
        ("int8_sq", ["smoothquant_alpha=0.6"], 4, 1),
        ("int8_sq", ["kv_cache=fp16"], 4, 1),
        ("int8_sq", [], 5, 1),
        ("int8_sq", [], 4, 2),
        ("int8_sq_static", [], 4, 1),
    ],
)
def test_whatever_changes_the_weights_changes_the_key(
    checkpoint: Checkpoint, other: tuple[str, list[str], int, int]
) -> None:
    recipe, settings, prompts, ranks = other
    changed = gpu_spec(checkpoint, recipe, *settings, prompts=prompts, tensor_parallel=ranks)

    assert identity_of(changed).key != identity_of(gpu_spec(checkpoint, "int8_sq")).key


def test_another_version_of_the_quantiser_makes_another_checkpoint(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibrated, streamed = gpu_spec(checkpoint, "int8_sq"), gpu_spec(checkpoint, "int8_wo")
    before = identity_of(calibrated).key, identity_of(streamed).key
    versions(monkeypatch, **{**WITH_MODELOPT, "nvidia_modelopt": "0.37.1"})
    after = identity_of(calibrated).key, identity_of(streamed).key

    assert before[0] != after[0]
    assert before[1] == after[1]  # nothing of it is calibrated


def test_a_calibrated_checkpoint_serves_machines_without_its_libraries(
    checkpoint: Checkpoint, export: RandomExport, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = gpu_spec(checkpoint, "int8_sq")
    folder = quantised_checkpoint(spec, NullProgress())

    versions(monkeypatch, **{**WITH_MODELOPT, "torch": "2.13.0"})
    assert quantised_checkpoint(spec, NullProgress()) == folder
    versions(monkeypatch, **{**WITH_MODELOPT, "transformers": "5.2.0"})
    assert quantised_checkpoint(spec, NullProgress()) == folder
    versions(monkeypatch)
    assert quantised_checkpoint(spec, NullProgress()) == folder
    assert export.jobs == 1


def test_without_the_libraries_the_newest_whole_checkpoint_of_the_same_spec_is_taken(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = gpu_spec(checkpoint, "int8_sq")
    made = []
    for version, date in (("0.37.1", "2026-01-01"), ("0.37.0", "2026-01-02")):
        versions(monkeypatch, **{**WITH_MODELOPT, "nvidia_modelopt": version})
        made.append(quantised_checkpoint(spec, NullProgress()))
        _date(made[-1], date)
    versions(monkeypatch)

    assert quantised_checkpoint(spec, NullProgress()) == made[1]
    (made[1] / "rank0.safetensors").write_bytes(b"")
    assert quantised_checkpoint(spec, NullProgress()) == made[0]
    (made[0] / "checkpoint.json").write_text("{}")
    with pytest.raises(EnvironmentFault, match="`nvidia-modelopt` is not installed"):
        quantised_checkpoint(spec, NullProgress())


@pytest.mark.parametrize("settings", [["smoothquant_alpha=0.6"], ["kv_cache=fp16"]])
def test_another_checkpoint_is_not_taken_for_want_of_the_libraries(
    checkpoint: Checkpoint, settings: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    quantised_checkpoint(gpu_spec(checkpoint, "int8_sq"), NullProgress())
    versions(monkeypatch)

    with pytest.raises(EnvironmentFault, match="`nvidia-modelopt` is not installed"):
        quantised_checkpoint(gpu_spec(checkpoint, "int8_sq", *settings), NullProgress())


def test_a_streamed_checkpoint_needs_no_library(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(monkeypatch)
    folder = quantised_checkpoint(gpu_spec(checkpoint, "int4_wo"), NullProgress())
    manifest = open_quantised(folder).manifest

    assert manifest.identity.libraries == {}
    assert manifest.calibration is None
    assert "TensorRT-LLM's W4A16 has no groups" in manifest.precision.note


def test_a_failure_leaves_nothing(checkpoint: Checkpoint, export: RandomExport) -> None:
    name = "transformer.layers.0.mlp.fc.weights_scaling_factor"
    export.changes[name] = None
    spec = gpu_spec(checkpoint, "int8_sq")
    with pytest.raises(RunFailed):
        quantised_checkpoint(spec, NullProgress())
    assert names(cache_root() / "quantised") == [".locks"]

    del export.changes[name]
    open_quantised(quantised_checkpoint(spec, NullProgress()))


def test_what_a_killed_process_left_is_no_checkpoint_and_goes_away(checkpoint: Checkpoint) -> None:
    spec = gpu_spec(checkpoint, "bf16")
    folder = quantised_checkpoint(spec, NullProgress())
    leftover = folder.parent / f".building-{identity_of(spec).key[:12]}-1"
    shutil.copytree(folder, leftover)
    (leftover / "checkpoint.json").unlink()
    shutil.rmtree(folder)

    assert quantised_checkpoint(spec, NullProgress()) == folder
    assert names(folder.parent) == [folder.name]
    with pytest.raises(EngineError, match=r"it has no checkpoint\.json; make one with"):
        open_quantised(folder.parent)


def test_a_damaged_checkpoint_is_named_and_made_again(checkpoint: Checkpoint) -> None:
    spec, told = gpu_spec(checkpoint, "bf16"), Notes()
    folder = quantised_checkpoint(spec, NullProgress())
    weights = folder / "rank0.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(EngineError, match=r"rank0\.safetensors has \d+ bytes instead of"):
        open_quantised(folder)

    assert quantised_checkpoint(spec, told) == folder
    assert told.notes[-1].startswith("Replacing a damaged quantised checkpoint: ")
    open_quantised(folder)


def test_weights_that_change_meanwhile_make_no_checkpoint(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quantise_module.quantise

    def meddle(spec: EngineSpec, folder: Path, progress: BuildProgress) -> Quantised:
        done = real(spec, folder, progress)
        (spec.checkpoint.folder / "tokenizer.json").write_text("{}")
        return done

    monkeypatch.setattr("build_engine.trtllm.artefact.quantise", meddle)
    with pytest.raises(CheckpointError, match="changed while it was being quantised"):
        quantised_checkpoint(gpu_spec(checkpoint, "bf16"), NullProgress())


def test_a_store_that_cannot_be_written_says_so(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ENGINEBENCH_HOME", str(tmp_path / "file"))

    with pytest.raises(OutputError, match=r"Cannot write to .*ENGINEBENCH_HOME"):
        quantised_checkpoint(gpu_spec(checkpoint, "bf16"), NullProgress())
