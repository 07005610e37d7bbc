"""The key follows the content and nothing else."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
import pytest

import build_engine
from build_engine.backend import BACKENDS, backend
from build_engine.calibration import calibration_set
from build_engine.errors import EnvironmentFault, MissingLibrary
from build_engine.store.manifest import EngineIdentity, TargetIdentity
from build_engine.store.spec import EngineSpec
from build_engine.target import load_target
from tests.build_engine.specs import CONFIG, make_checkpoint, versions


def test_the_key_is_the_same_wherever_and_under_whatever_name_the_content_lies(
    spec: EngineSpec, tmp_path: Path
) -> None:
    elsewhere = make_checkpoint(tmp_path / "moved", name="other")
    assert replace(spec, checkpoint=elsewhere).key == spec.key
    assert len(spec.key) == 64


def test_titles_and_sources_of_a_recipe_are_not_content(spec: EngineSpec) -> None:
    renamed = spec.recipe.model_copy(update={"title": "Another title", "sources": ["elsewhere"]})
    assert replace(spec, recipe=renamed).key == spec.key


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights", "int4"),
        ("activations", "int8"),
        ("kv_cache", "int8"),
        ("algorithm", "awq"),
        ("group_size", 64),
        ("symmetric", False),
        ("calibration_samples", 7),
    ],
)
def test_every_quantisation_field_of_the_recipe_changes_the_key(
    spec: EngineSpec, field: str, value: object
) -> None:
    assert getattr(spec.recipe, field) != value
    identity = spec.identity
    changed = identity.recipe.model_copy(update={field: value})
    assert identity.model_copy(update={"recipe": changed}).key != spec.key == identity.key


@pytest.mark.parametrize(
    "field",
    ["max_batch_size", "max_input_len", "max_seq_len", "max_num_tokens", "tensor_parallel"],
)
def test_every_limit_changes_the_key(spec: EngineSpec, field: str) -> None:
    limits = replace(spec.limits, **{field: getattr(spec.limits, field) + 1})
    assert replace(spec, limits=limits).key != spec.key


def test_weights_tokenizer_and_architecture_change_the_key(
    spec: EngineSpec, tmp_path: Path
) -> None:
    keys = {spec.key}
    keys.add(replace(spec, checkpoint=make_checkpoint(tmp_path / "b", "Weights")).key)
    tokenizer = make_checkpoint(tmp_path / "c")
    (tokenizer.folder / "tokenizer.json").write_text('{"version": 2}')
    keys.add(replace(spec, checkpoint=tokenizer).key)
    base = replace(spec.checkpoint, config=replace(CONFIG, rope_theta=500_000.0))
    keys.add(replace(spec, checkpoint=base).key)
    assert len(keys) == 4


def test_calibration_and_compute_change_the_key(spec: EngineSpec) -> None:
    one = replace(spec, calibration=calibration_set("a", [np.array([1, 2], np.int32)]))
    two = replace(spec, calibration=calibration_set("a", [np.array([1, 3], np.int32)]))
    same = replace(spec, calibration=calibration_set("b", [np.array([1, 2], np.int32)]))
    official = calibration_set("a", [np.array([1, 2], np.int32)], official=True)
    keys = {spec.key, one.key, two.key, replace(spec, calibration=official).key}
    keys.add(replace(spec, compute="f32").key)
    assert len(keys) == 5
    assert same.key == one.key


def test_our_own_builder_changes_the_key(spec: EngineSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    before = spec.key
    monkeypatch.setitem(BACKENDS, "openvino", replace(backend("openvino"), builder=999))
    assert spec.key != before


def test_a_builder_that_changed_has_another_number() -> None:
    """Sources of what is built, by builder number. Whoever changes them decides: raise the number
    when any engine becomes another one, and record the new digest in either case.
    """
    folder = Path(build_engine.__file__).parent
    names = (
        "architecture.py",
        "rope.py",
        "safetensors_file.py",
        "special_tokens.py",
        "tokenizer.py",
        "tokenizer_settings.py",
    )
    read = [folder / "checkpoint" / name for name in names]
    files = [*read, *folder.glob("openvino/*.py")]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sorted(files))).hexdigest()
    builder = backend("openvino").builder
    assert (builder, digest[:12]) == (4, "1865f720c075")


@pytest.mark.parametrize("library", ["openvino", "openvino_genai", "nncf"])
def test_every_backend_version_changes_the_key(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    installed = {"openvino": "2026.4.1", "openvino_genai": "2026.4.1.0", "nncf": "3.4.0"}
    versions(monkeypatch, **installed)
    before = spec.key
    versions(monkeypatch, **(installed | {library: "9.9"}))
    assert spec.key != before


def test_gpu_types_have_different_keys_and_the_sm_is_part_of_them(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(monkeypatch, tensorrt_llm="1.2.0", tensorrt="10.14", nvidia_modelopt="0.37")
    a30 = replace(spec, target=load_target("a30"), compute="sm_80")
    a100 = replace(spec, target=load_target("a100-80gb"), compute="sm_80")
    assert a30.key != a100.key
    assert a30.identity.target == TargetIdentity(name="a30", kind="gpu", sm=80, compute="sm_80")


def test_a_missing_backend_is_named_with_its_remedy(
    spec: EngineSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions(monkeypatch, openvino="2026.4.1", openvino_genai="2026.4.1.0")
    with pytest.raises(MissingLibrary, match=r"`nncf` is not installed.*enginebench\[cpu\]"):
        _ = spec.key
    with pytest.raises(EnvironmentFault, match="built in its container"):
        _ = replace(spec, target=load_target("a30"), compute="sm_80").key


def test_the_identity_survives_json_and_the_folder_carries_its_key(spec: EngineSpec) -> None:
    text = json.dumps(spec.identity.model_dump(mode="json"))
    assert EngineIdentity.model_validate_json(text, strict=True) == spec.identity
    assert spec.folder == PurePath("tiny", "cpu", f"int8_wo-{spec.key[:12]}")
