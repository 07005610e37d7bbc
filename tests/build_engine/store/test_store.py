"""An engine is published whole or not at all, and a stored one is found, explained and proven."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from build_engine import digest
from build_engine.calibration import calibration_set
from build_engine.errors import CheckpointError, EngineError, OutputError, UnknownName
from build_engine.fields import ABSENT, differences
from build_engine.progress import BuildProgress, NullProgress
from build_engine.recipe import load_recipe
from build_engine.store.contents import FileEntry
from build_engine.store.engine import Engine
from build_engine.store.manifest import EngineManifest
from build_engine.store.spec import BuildFacts, EngineSpec
from build_engine.store.store import EngineStore
from tests.build_engine.specs import (
    PRECISION,
    Notes,
    entries,
    must_not_build,
    tiny_spec,
    write_engine,
)


def test_a_built_engine_is_complete(store: EngineStore, spec: EngineSpec) -> None:
    told = Notes()
    engine = store.get_or_build(spec, write_engine, told)
    assert engine.folder == store.top / "tiny" / "cpu" / f"int8_wo-{spec.key[:12]}"
    assert engine.manifest.schema_version == EngineManifest.SCHEMA
    assert engine.manifest.runtime == {"INFERENCE_PRECISION_HINT": "bf16"}
    assert engine.manifest.files.keys() == {"openvino_model.xml", "tokens/tokenizer.json"}
    assert engine.manifest.files["tokens/tokenizer.json"] == FileEntry(
        bytes=2, sha256="44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    )
    assert engine.manifest.model.config.num_layers == 1
    build = engine.manifest.build
    assert list(build.phases) == told.phases == ["network", "files", "checksums"]
    assert sum(build.phases.values()) <= build.duration_s + 1e-3
    assert engine.key == spec.key
    assert store.verify(engine) == []
    assert told.notes == []


def test_a_stored_engine_is_found_and_not_built_again(
    store: EngineStore, spec: EngineSpec, engine: Engine
) -> None:
    assert store.find(spec) == engine
    assert store.get_or_build(spec, must_not_build, NullProgress()) == engine
    assert store.list() == [engine]


def test_finding_reads_no_file_that_did_not_change(
    store: EngineStore, spec: EngineSpec, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> str:
        raise AssertionError(f"{path} was hashed")

    monkeypatch.setattr(digest, "hash_file", refuse)
    assert store.find(spec) == engine


def test_other_content_is_not_found(store: EngineStore, tmp_path: Path, engine: Engine) -> None:
    assert store.find(tiny_spec(tmp_path / "tiny", max_batch_size=8)) is None


def test_the_same_checkpoint_under_another_name_is_the_same_engine(
    store: EngineStore, tmp_path: Path, engine: Engine
) -> None:
    renamed = tiny_spec(tmp_path / "copy", name="copy")
    assert store.get_or_build(renamed, must_not_build, NullProgress()) == engine


def test_an_empty_store_has_nothing_and_is_not_created_by_looking(
    store: EngineStore, spec: EngineSpec
) -> None:
    assert store.find(spec) is None
    assert store.list() == []
    assert store.damaged() == {}
    assert not store.root.exists()


@pytest.mark.parametrize(
    "failure", [ValueError("bad shape"), KeyboardInterrupt(), OSError(5, "io")]
)
def test_a_failed_build_leaves_nothing_and_passes_its_error_on(
    store: EngineStore, spec: EngineSpec, failure: BaseException
) -> None:
    def fail(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        write_engine(spec, folder, progress)
        raise failure

    with pytest.raises(type(failure)) as raised:
        store.get_or_build(spec, fail, NullProgress())
    assert raised.value is failure
    assert entries(store) == []
    assert store.get_or_build(spec, write_engine, NullProgress()).key == spec.key


@pytest.mark.parametrize("wrong", ["nothing", "link"])
def test_a_builder_that_writes_nothing_or_a_link_makes_no_engine(
    store: EngineStore, spec: EngineSpec, wrong: str
) -> None:
    def misbehave(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        if wrong == "link":
            (folder / "tokenizer.json").symlink_to(spec.checkpoint.folder / "tokenizer.json")
        return BuildFacts({}, PRECISION, ("int8",))

    with pytest.raises(AssertionError):
        store.get_or_build(spec, misbehave, NullProgress())
    assert entries(store) == []


def test_a_checkpoint_that_changes_during_the_build_makes_no_engine(
    store: EngineStore, spec: EngineSpec
) -> None:
    def change(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        spec.checkpoint.weight_files[0].write_text("other weights now")
        return write_engine(spec, folder, progress)

    with pytest.raises(CheckpointError, match="changed while the engine was being built"):
        store.get_or_build(spec, change, NullProgress())
    assert entries(store) == []


def test_a_full_disk_is_an_output_error_with_the_remedy(
    store: EngineStore, spec: EngineSpec
) -> None:
    def fill(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
        (folder / "openvino_model.xml").write_text("<net/>")
        Path("/dev/full").write_bytes(b"ENOSPC comes from the kernel here")
        raise AssertionError("nothing fits in /dev/full")

    with pytest.raises(OutputError, match=r"is full; free some space.*ENGINEBENCH_HOME"):
        store.get_or_build(spec, fill, NullProgress())
    assert entries(store) == []


def test_a_store_below_a_file_is_an_output_error(tmp_path: Path, spec: EngineSpec) -> None:
    (tmp_path / "file").write_text("")
    store = EngineStore(tmp_path / "file" / "store")
    with pytest.raises(OutputError, match=r"Cannot write to .*point ENGINEBENCH_HOME"):
        store.get_or_build(spec, must_not_build, NullProgress())


def test_a_store_where_no_folder_can_be_made_is_an_output_error(spec: EngineSpec) -> None:
    with pytest.raises(OutputError, match="Cannot write to"):
        EngineStore(Path("/proc/store")).get_or_build(spec, must_not_build, NullProgress())


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_only_paths_of_the_store_make_an_output_error(
    store: EngineStore, spec: EngineSpec, code: int
) -> None:
    def deny(path: Path) -> Callable[[EngineSpec, Path, BuildProgress], BuildFacts]:
        def build(spec: EngineSpec, folder: Path, progress: BuildProgress) -> BuildFacts:
            raise OSError(code, os.strerror(code), str(path))

        return build

    with pytest.raises(OutputError, match="Cannot write to"):
        store.get_or_build(spec, deny(store.top / "x"), NullProgress())
    with pytest.raises(OSError, match=r"model\.safetensors"):
        store.get_or_build(spec, deny(spec.checkpoint.weight_files[0]), NullProgress())


def damage_missing(folder: Path) -> None:
    (folder / "openvino_model.xml").unlink()


def damage_truncated(folder: Path) -> None:
    (folder / "openvino_model.xml").write_text("<")


def damage_altered(folder: Path) -> None:
    (folder / "openvino_model.xml").write_text("<nut/>")


def damage_extra(folder: Path) -> None:
    (folder / "tokens" / "more.bin").write_text("")


def damage_link(folder: Path) -> None:
    (folder / "openvino_model.xml").rename(folder.parent / "moved.xml")
    (folder / "openvino_model.xml").symlink_to(folder.parent / "moved.xml")


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_missing, "openvino_model.xml is missing."),
        (damage_truncated, "openvino_model.xml has 1 bytes instead of 6."),
        (damage_altered, "openvino_model.xml was altered: its checksum differs."),
        (damage_extra, "tokens/more.bin is extra: the build did not write it."),
        (damage_link, "openvino_model.xml is a link, not the file that was built."),
    ],
)
def test_verify_names_each_kind_of_damage(
    store: EngineStore, engine: Engine, damage: Callable[[Path], None], problem: str
) -> None:
    damage(engine.folder)
    assert store.verify(engine) == [problem]


def test_verify_lists_all_problems_by_file(store: EngineStore, engine: Engine) -> None:
    damage_extra(engine.folder)
    damage_missing(engine.folder)
    assert [problem.split()[0] for problem in store.verify(engine)] == [
        "openvino_model.xml",
        "tokens/more.bin",
    ]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (damage_truncated, "has 1 bytes instead of 6"),
        (damage_altered, "openvino_model.xml was altered"),
    ],
)
def test_a_damaged_engine_is_not_used_and_is_replaced_with_a_word(
    store: EngineStore,
    spec: EngineSpec,
    engine: Engine,
    damage: Callable[[Path], None],
    problem: str,
) -> None:
    damage(engine.folder)
    assert store.find(spec) is None
    assert problem in next(iter(store.damaged().values()))
    told = Notes()
    assert store.verify(store.get_or_build(spec, write_engine, told)) == []
    assert len(told.notes) == 1
    assert told.notes[0].startswith("Replacing a damaged engine")
    assert store.damaged() == {}


def test_a_damaged_engine_survives_until_its_replacement_is_complete(
    store: EngineStore, spec: EngineSpec, engine: Engine
) -> None:
    damage_truncated(engine.folder)
    with pytest.raises(AssertionError):
        store.get_or_build(spec, must_not_build, NullProgress())
    assert (engine.folder / "engine.json").exists()


def test_a_folder_without_manifest_is_never_an_engine(store: EngineStore, spec: EngineSpec) -> None:
    final = store.top / spec.folder
    final.mkdir(parents=True)
    (final / "openvino_model.xml").write_text("<net/>")
    assert store.find(spec) is None
    assert store.list() == []
    assert "has no engine.json" in next(iter(store.damaged().values()))
    assert store.verify(store.get_or_build(spec, write_engine, NullProgress())) == []


def test_an_altered_manifest_is_not_found(
    store: EngineStore, spec: EngineSpec, engine: Engine
) -> None:
    path = engine.folder / "engine.json"
    content = json.loads(path.read_text())
    content["identity"]["limits"]["max_batch_size"] = 1
    path.write_text(json.dumps(content))
    assert store.find(spec) is None
    assert "key does not match its identity" in next(iter(store.damaged().values()))


def test_why_lists_the_differing_fields_with_both_values(spec: EngineSpec) -> None:
    other = replace(
        spec,
        recipe=load_recipe("int4_wo"),
        limits=replace(spec.limits, max_batch_size=8),
        compute="f32",
    )
    told = differences(spec.identity, other.identity)
    assert [name for name, _, _ in told] == [
        "limits.max_batch_size",
        "recipe.group_size",
        "recipe.name",
        "recipe.weights",
        "target.compute",
    ]
    assert told[0] == ("limits.max_batch_size", 64, 8)
    assert differences(spec.identity, spec.identity) == []


def test_why_tells_an_absent_field_from_an_empty_one(spec: EngineSpec) -> None:
    prompts = calibration_set("news", [[1, 2]])
    calibrated = replace(spec, calibration=prompts).identity
    assert differences(spec.identity, calibrated) == [
        ("calibration", None, ABSENT),
        ("calibration.digest", ABSENT, prompts.digest),
        ("calibration.official", ABSENT, False),
    ]


def test_why_sees_no_difference_between_a_spec_and_its_stored_engine(
    store: EngineStore, spec: EngineSpec, engine: Engine
) -> None:
    assert differences(spec.identity, engine.identity) == []


def test_an_engine_is_resolved_by_path_key_and_name(
    store: EngineStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaf = f"tiny/cpu/{engine.folder.name}"
    for text in (str(engine.folder), engine.key, engine.key[:6], "tiny/cpu/int8_wo", leaf):
        assert store.resolve(text) == engine
    monkeypatch.chdir(engine.folder)
    assert store.resolve(".") == engine


def test_a_hub_style_name_resolves_as_it_was_given(store: EngineStore, tmp_path: Path) -> None:
    engine = store.get_or_build(
        tiny_spec(tmp_path / "tiny", name="org/tiny"), write_engine, NullProgress()
    )
    assert engine.folder.relative_to(store.top).parts[0] == "org--tiny"
    assert store.resolve("org/tiny/cpu/int8_wo") == engine
    assert store.resolve("org--tiny/cpu/int8_wo") == engine


def test_resolving_in_an_empty_store_says_how_to_build(store: EngineStore) -> None:
    with pytest.raises(EngineError, match="build one with: enginebench build --model"):
        store.resolve("tiny/cpu/int8_wo")


@pytest.mark.parametrize("text", ["tiny/cpu/int8_sq", "", "zzz"])
def test_an_unknown_engine_lists_names_that_resolve(
    store: EngineStore, engine: Engine, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UnknownName) as unknown:
        store.resolve(text)
    offered = str(unknown.value).rsplit("Valid: ", 1)[1].rstrip(".")
    assert store.resolve(offered) == engine


@pytest.mark.parametrize("other_engine", [False, True])
def test_an_engine_that_cannot_be_read_is_named_with_the_reason(
    store: EngineStore, engine: Engine, tmp_path: Path, other_engine: bool
) -> None:
    if other_engine:
        other = tiny_spec(tmp_path / "tiny", max_batch_size=8)
        store.get_or_build(other, write_engine, NullProgress())
    (engine.folder / "engine.json").write_text('{"schema_version": 1}')
    for text in ("tiny/cpu/" + engine.folder.name, engine.key[:12]):
        with pytest.raises(EngineError, match="was written by an older enginebench"):
            store.resolve(text)


def test_one_broken_manifest_hides_no_other_engine(
    store: EngineStore, spec: EngineSpec, engine: Engine
) -> None:
    broken = engine.folder.with_name("bf16-0123456789ab")
    broken.mkdir()
    manifest = (engine.folder / "engine.json").read_text()
    (broken / "engine.json").write_text(manifest.replace('"max_batch_size": 64', '"x": NaN'))
    assert store.list() == [engine]
    assert store.find(spec) == engine
    assert "NaN, which is not JSON" in store.damaged()[broken]


def test_an_ambiguous_name_asks_for_a_key(
    store: EngineStore, engine: Engine, tmp_path: Path
) -> None:
    other = store.get_or_build(
        tiny_spec(tmp_path / "tiny", max_batch_size=8), write_engine, NullProgress()
    )
    with pytest.raises(EngineError, match="fits 2 engines; give the key of one") as ambiguous:
        store.resolve("tiny/cpu/int8_wo")
    assert engine.key[:12] in str(ambiguous.value)
    assert other.key[:12] in str(ambiguous.value)


def test_a_folder_that_is_no_engine_is_said_to_be_none(
    store: EngineStore, engine: Engine, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=r"has no engine\.json"):
        store.resolve(str(tmp_path))
