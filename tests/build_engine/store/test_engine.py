"""An engine says what it is; one that was altered or is foreign is not loaded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.calibration import calibration_set
from build_engine.errors import ConfigError, EngineError, EnvironmentFault, MissingLibrary
from build_engine.progress import NullProgress
from build_engine.recipe import load_recipe
from build_engine.store.engine import Engine, check_loadable
from build_engine.store.limits import EngineLimits
from build_engine.store.making import made
from build_engine.store.manifest import EngineManifest, write_manifest
from build_engine.store.sealed import content_key
from build_engine.store.spec import BuildFacts, EngineSpec, folder_name
from build_engine.target import Detected, load_target
from tests.build_engine.specs import PRECISION, versions


def write_engine(folder: Path, spec: EngineSpec) -> Engine:
    folder.mkdir()
    (folder / "openvino_model.bin").write_bytes(b"0123456789")
    properties = {name: "bf16" for name in spec.backend.properties if "INFERENCE" in name}
    facts = BuildFacts(properties, PRECISION, ("int8",))
    _, files, built = made(lambda _: None, folder, NullProgress())
    write_manifest(folder, spec.manifest(facts, files, built))
    return Engine.load(folder)


def edit(folder: Path, change: Callable[[dict[str, Any]], object], reseal: bool = False) -> None:
    """Apply `change` to the manifest, as a person with an editor would, or as another builder."""
    path = folder / "engine.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if reseal:
        manifest["key"] = content_key(manifest["identity"])
        del manifest["seal"]
        manifest["seal"] = content_key(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("meta-llama/Llama 8B", "meta-llama--Llama-8B"),
        ("..", "unnamed"),
        ("../../etc", "etc"),
        (".hidden", "hidden"),
        ("", "unnamed"),
        ("a*b[c]", "a-b-c"),
    ],
)
def test_a_name_becomes_one_harmless_path_component(name: str, folder: str) -> None:
    assert folder_name(name) == folder


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_batch_size": 0}, "limits.max_batch_size is 0; give 1 or more"),
        ({"max_batch_size": 10**22}, "give 1048576 or less"),
        ({"max_num_tokens": -1}, "limits.max_num_tokens is -1; give 1 or more"),
        ({"max_input_len": 96}, "leaves no room for an answer"),
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, int], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EngineLimits(**({"max_input_len": 64, "max_seq_len": 96} | limits))


def test_an_engine_says_what_it_is(spec: EngineSpec, tmp_path: Path) -> None:
    engine = write_engine(tmp_path / "engine", spec)
    assert (engine.key, engine.identity, engine.limits) == (spec.key, spec.identity, spec.limits)
    assert (engine.model, engine.target, engine.recipe) == ("tiny", "cpu", "int8_wo")
    assert (engine.stop_ids, engine.vocab_size, engine.compute) == ((2, 3), 32, "bf16")
    assert engine.size_bytes == 10
    assert engine.manifest.model.weights == spec.checkpoint.weights
    assert engine.rebuild_command() == (
        f"enginebench build --model {spec.checkpoint.folder} --target cpu --recipe int8_wo "
        "--max-input-len 64 --max-new-tokens 32"
    )


def test_the_bundled_checkpoint_is_rebuilt_by_its_name(spec: EngineSpec) -> None:
    from newsbrief import CHECKPOINT

    bundled = replace(spec.checkpoint, name="newsbrief", folder=CHECKPOINT)
    assert replace(spec, checkpoint=bundled).model_source == "newsbrief"
    namesake = replace(spec.checkpoint, name="newsbrief")
    assert replace(spec, checkpoint=namesake).model_source == str(namesake.folder)


def test_the_rebuild_command_names_the_profile(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = gpu_engine(spec, tmp_path / "usual", monkeypatch)
    tuned = replace(
        spec, target=load_target("a30"), compute="sm_80", profile="latency", limits=usual.limits
    )
    engine = write_engine(tmp_path / "tuned", tuned)
    assert engine.key != usual.key
    sizes = "--max-batch-size 64 --max-num-tokens 2048 --max-input-len"
    told = f"--target a30 --recipe int8_wo --profile latency {sizes}"
    assert told in engine.rebuild_command()
    assert "--recipe int8_wo --profile latency --max-input-len" in engine.rebuild_command("l4")
    assert "--profile" not in engine.rebuild_command("cpu")


def test_a_folder_without_manifest_is_no_engine(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(EngineError, match=r"is not an engine: it has no engine.json"):
            Engine.load(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": 1}', "\x00", "[" * 100_000])
def test_a_manifest_that_is_no_manifest_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine.json").write_text(text)
    with pytest.raises(EngineError, match="delete that folder and build the engine again"):
        Engine.load(tmp_path)


def test_the_rebuild_command_makes_the_same_engine(spec: EngineSpec, tmp_path: Path) -> None:
    recipe = load_recipe("int4_awq").model_copy(update={"group_size": 64, "symmetric": False})
    prompts = [np.array([1, 2], np.int32)]
    options = ("--workload", "newsbrief", "--calibration", "/my news.jsonl")
    calibration = calibration_set("my news.jsonl", prompts, options=options)
    limits = EngineLimits(max_input_len=64, max_seq_len=192, max_batch_size=8)
    changed = replace(spec, recipe=recipe, limits=limits, calibration=calibration)
    assert write_engine(tmp_path / "a", changed).rebuild_command() == (
        f"enginebench build --model {spec.checkpoint.folder} --target cpu --recipe int4_awq "
        "--set group_size=64 --set symmetric=false --workload newsbrief "
        "--calibration '/my news.jsonl' --max-batch-size 8 --max-input-len 64 "
        "--max-new-tokens 128"
    )
    own = replace(spec, recipe=spec.recipe.model_copy(update={"name": "mine"}))
    assert "--recipe mine.yaml " in write_engine(tmp_path / "b", own).rebuild_command()


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m["model"]["config"].update(eos_token_ids=[5]),
        lambda m: m["runtime"].update(KV_CACHE_PRECISION="u8"),
        lambda m: m["precision"].update(weights="bf16"),
        lambda m: m["build"].update(host="another"),
    ],
)
def test_any_altered_field_is_refused(
    spec: EngineSpec, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    engine = write_engine(tmp_path / "engine", spec)
    edit(engine.folder, change)
    with pytest.raises(EngineError, match="was altered: its seal does not match"):
        Engine.load(engine.folder)


def test_an_altered_identity_is_refused(spec: EngineSpec, tmp_path: Path) -> None:
    engine = write_engine(tmp_path / "engine", spec)
    edit(engine.folder, lambda m: m["identity"]["target"].update(compute="f32"))
    with pytest.raises(EngineError, match="key does not match its identity"):
        Engine.load(engine.folder)


def test_a_newer_schema_is_refused(spec: EngineSpec, tmp_path: Path) -> None:
    engine = write_engine(tmp_path / "engine", spec)
    edit(engine.folder, lambda m: m.update(schema_version=EngineManifest.SCHEMA + 1, key={}))
    with pytest.raises(EngineError, match=r"newer enginebench \(schema_version \d.*update"):
        Engine.load(engine.folder)


def test_an_older_schema_is_refused(spec: EngineSpec, tmp_path: Path) -> None:
    engine = write_engine(tmp_path / "engine", spec)
    edit(engine.folder, lambda m: m.update(schema_version=2))
    with pytest.raises(EngineError, match=r"older enginebench \(schema_version 2.*build.*again"):
        Engine.load(engine.folder)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda m: m.pop("runtime"), "`runtime`"),
        (lambda m: m["model"]["config"].update(eos_token_ids=2), "`model.config.eos_token_ids`"),
        (lambda m: m["identity"].pop("recipe"), "`identity.recipe` is missing"),
        (lambda m: m["identity"]["target"].update(kind="tpu"), "`identity.target.kind`"),
        (lambda m: m["identity"]["limits"].update(max_seq_len=0), "limits.max_seq_len is 0"),
        (lambda m: m["identity"]["limits"].update(max_seq_len="x"), "limits.max_seq_len` must"),
        (lambda m: m["identity"]["backend"].update(name="x"), "Unknown backend `x`"),
        (lambda m: m["files"].update({"../out": {"bytes": 1, "sha256": "0" * 64}}), "`../out`"),
        (lambda m: m["files"].update({"/etc/a": {"bytes": 1, "sha256": "0" * 64}}), "`/etc/a`"),
        (lambda m: m["files"].update({"a": {"bytes": 1}}), "`files.a.sha256` is missing"),
        (lambda m: m.update(extra=1), "`extra` is not a key"),
        (lambda m: m["runtime"].update(EXTENSIONS="/tmp/x.so"), "`runtime.EXTENSIONS` is no prop"),
        (lambda m: m["runtime"].update(CACHE_DIR="/tmp/x"), "`runtime.CACHE_DIR` is no property"),
        (lambda m: m["runtime"].update(cache_dir="/tmp/x"), "`runtime.cache_dir` is no property"),
        (lambda m: m["runtime"].update(KV_CACHE_PRECISION="u8\n"), "must match u8|bf16|f32, not"),
        (lambda m: m["identity"]["target"].update(name="../x"), "`identity.target.name` must"),
        (lambda m: m["identity"]["target"].update(name="x.yaml"), "does not end in .yaml or .yml"),
        (lambda m: m["identity"]["recipe"].update(name="a" * 65), "at most 64 characters"),
        (lambda m: m["identity"].update(profile="/x"), "`identity.profile` must match"),
    ],
)
def test_an_unusable_field_is_named_even_when_the_key_fits(
    spec: EngineSpec, tmp_path: Path, change: Callable[[dict[str, Any]], object], named: str
) -> None:
    engine = write_engine(tmp_path / "engine", spec)
    edit(engine.folder, change, reseal=True)
    with pytest.raises(EngineError, match=r"engine\.json.*build the engine again") as refused:
        Engine.load(engine.folder)
    assert named in str(refused.value)


def compute_here(monkeypatch: pytest.MonkeyPatch, compute: str) -> None:
    monkeypatch.setattr(
        "build_engine.openvino.support.detect_cpu_compute",
        lambda: Detected(compute, "the test says so"),
    )


def test_an_engine_of_this_machine_is_loadable(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_here(monkeypatch, "bf16")
    check_loadable(write_engine(tmp_path / "engine", spec))


def test_a_library_of_another_version_is_refused_with_both_versions_and_the_remedy(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_here(monkeypatch, "bf16")
    versions(monkeypatch, openvino="2026.4.1", openvino_genai="2026.4.1.0", nncf="3.4.0")
    engine = write_engine(tmp_path / "engine", spec)
    versions(monkeypatch, openvino="2027.0", openvino_genai="2026.4.1.0")
    with pytest.raises(EngineError) as refused:
        check_loadable(engine)
    message = str(refused.value)
    assert "backend.openvino is 2026.4.1 in the engine and 2027.0 here" in message
    assert "openvino-genai" not in message
    assert message.endswith(f"rebuild it with: {engine.rebuild_command()}")


def test_nncf_is_not_needed_to_load(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_here(monkeypatch, "bf16")
    versions(monkeypatch, openvino="1", openvino_genai="2", nncf="3")
    engine = write_engine(tmp_path / "engine", spec)
    versions(monkeypatch, openvino="1", openvino_genai="2")
    check_loadable(engine)
    versions(monkeypatch, openvino="1")
    with pytest.raises(MissingLibrary, match="openvino-genai"):
        check_loadable(engine)


def test_other_arithmetic_is_refused_with_both_values_and_the_reason(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute_here(monkeypatch, "f32")
    engine = write_engine(tmp_path / "engine", spec)
    with pytest.raises(EngineError) as refused:
        check_loadable(engine)
    assert "target.compute is bf16 in the engine and f32 (the test says so) here" in str(
        refused.value
    )
    assert "--target cpu --recipe int8_wo" in str(refused.value)


def gpu_engine(spec: EngineSpec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    versions(monkeypatch, tensorrt_llm="1.2.0", tensorrt="10.14", nvidia_modelopt="0.37")
    recipe = load_recipe("int8_wo")
    a30 = replace(spec, target=load_target("a30"), recipe=recipe, compute="sm_80")
    return write_engine(folder, a30)


def test_a_gpu_engine_is_refused_on_another_gpu_type(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = gpu_engine(spec, tmp_path / "engine", monkeypatch)
    here = Detected("h100-sxm", "NVML reports 1 x H100")
    monkeypatch.setattr("build_engine.store.engine.detect_target", lambda: here)
    with pytest.raises(EngineError) as refused:
        check_loadable(engine)
    message = str(refused.value)
    assert "target.name is a30 in the engine and h100-sxm (NVML reports 1 x H100) here" in message
    assert "target.compute is sm_80 in the engine and sm_90" in message
    assert "--target h100-sxm" in message


@pytest.mark.parametrize("value", [None, "cpu"])
def test_a_gpu_engine_needs_a_known_gpu(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    engine = gpu_engine(spec, tmp_path / "engine", monkeypatch)
    here = Detected(value, "no NVIDIA GPU found")
    monkeypatch.setattr("build_engine.store.engine.detect_target", lambda: here)
    with pytest.raises(EnvironmentFault, match="no NVIDIA GPU found"):
        check_loadable(engine)


def test_a_gpu_engine_without_its_library_says_where_it_runs(
    spec: EngineSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = gpu_engine(spec, tmp_path / "engine", monkeypatch)
    versions(monkeypatch, openvino="1")
    with pytest.raises(EnvironmentFault, match="in its container"):
        check_loadable(engine)


def test_an_unreadable_manifest_is_an_engine_error(tmp_path: Path) -> None:
    (tmp_path / "engine.json").mkdir()
    with pytest.raises(EngineError, match="is not a regular file"):
        Engine.load(tmp_path)
