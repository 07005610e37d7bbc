"""`build` and `engines`: an engine is made once, explained, proven and removed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.build_engine.checkpoints import write_checkpoint
from tests.build_engine.hub_server import point_at
from tests.harness.cli.line import Line


def test_build_says_what_it_built(line: Line, tiny: Path, quick_builder: None) -> None:
    said = line("build", "--model", tiny, "--recipe", "int8_wo", "--max-input-len", 64)
    assert said.code == 0
    assert said.out == ""
    assert "weights int8" in said.err
    assert f"Next: enginebench run --model {tiny} --target cpu --recipe int8_wo" in said.err
    shown = line("engines", "show", "tiny/cpu/int8_wo", "--json").document
    assert shown["identity"]["limits"]["max_input_len"] == 64


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--recipe", "int9"], 2, "Unknown recipe `int9`."),
        (["--recipe", "fp8"], 2, "`fp8` is refused on `cpu`"),
        (["--recipe", "bf16", "--target", "a3O"], 2, "Did you mean `a30`?"),
        (["--recipe", "bf16", "--target", "a30"], 3, "--stage quantise` makes the checkpoint"),
        (["--recipe", "bf16", "--set", "wieghts=int8"], 2, "--set: `wieghts` is not a key."),
        (["--recipe", "bf16", "--set", "weights.a=1"], 2, "`weights` is one value"),
        (["--recipe", "bf16", "--set", "weights"], 2, "--set weights: write it as key=value"),
        (["--recipe", "bf16", "--max-batch-size", "0"], 2, "max_batch_size is 0"),
        (["--recipe", "bf16", "--max-batch-size", "-2"], 2, "max_batch_size is -2"),
        (["--recipe", "no.yaml"], 2, "no.yaml cannot be read"),
        (["--recipe", "int4_awq", "--calibration", "no.jsonl"], 2, "no dataset file `no.jsonl`"),
    ],
)
def test_build_refusals(line: Line, tiny: Path, arguments: list[str], code: int, told: str) -> None:
    assert told in line.refused(code, "build", "--model", tiny, *arguments)


def test_a_damaged_checkpoint(line: Line, tiny: Path) -> None:
    (tiny / "model.safetensors").write_bytes(b"short")
    sentence = line.refused(2, "build", "--model", tiny, "--recipe", "bf16")
    assert "model.safetensors" in sentence


def test_a_checkpoint_that_only_the_hub_has(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = "http://127.0.0.1:9"  # the discard port: nobody listens
    point_at(nowhere, tmp_path / "hub", monkeypatch)
    sentence = line.refused(3, "build", "--model", "no-one/has-this", "--recipe", "bf16")
    assert "There is no folder no-one/has-this, and" in sentence
    assert f"cannot be fetched from {nowhere}" in sentence


def test_a_real_build_is_made_once(line: Line, tiny: Path) -> None:
    pytest.importorskip("openvino_genai")
    arguments = ["build", "--model", tiny, "--recipe", "bf16", "--max-input-len", 32, "--json"]
    first = line(*arguments)
    assert first.code == 0
    assert {"openvino_model.xml", "openvino_model.bin"} <= first.document["files"].keys()
    assert "checksums" in first.err
    again = line(*arguments)
    assert again.document == first.document
    assert "checksums" not in again.err
    assert line("engines", "verify").code == 0


def test_the_next_step_runs_the_engine_that_was_built(
    line: Line, tiny: Path, quick_builder: None
) -> None:
    options = ("--set", "group_size=32", "--max-batch-size", 8, "--max-input-len", 64)
    said = line("build", "--model", tiny, "--recipe", "int4_wo", *options)
    assert said.err.splitlines()[-1].startswith(
        f"Next: enginebench run --model {tiny} --target cpu --recipe int4_wo --max-batch-size 8 "
        "--max-input-len 64 --set recipe.group_size=32 --workload newsbrief --scenario Offline"
    )


def test_an_empty_store(line: Line) -> None:
    said = line("engines", "list", "--json")
    assert said.code == 0
    nothing = {"engines": [], "checkpoints": [], "damaged": [], "used_bytes": 0}
    assert said.document == nothing
    assert "Next: enginebench build" in said.err
    assert line("engines", "verify", "--json").document == {}
    assert "No engine is stored" in line.refused(2, "engines", "show", "abc")


def test_engines_list_and_show(line: Line, engine: dict[str, Any]) -> None:
    listed = line("engines", "list", "--json").document["engines"]
    assert [(row["key"], row["model"]) for row in listed] == [(engine["key"], "tiny")]
    shown = line("engines", "show", engine["key"][:6], "--json")
    assert shown.document == engine
    assert "identity.recipe.weights" in shown.err
    assert "Unknown engine `zzz`" in line.refused(2, "engines", "show", "zzz")


def test_engines_why(line: Line, engine: dict[str, Any], tiny: Path) -> None:
    line("build", "--model", tiny, "--recipe", "bf16")
    said = line("engines", "why", "tiny/cpu/int8_wo", "tiny/cpu/bf16", "--json")
    fields = {row["field"]: (row["first"], row["second"]) for row in said.document}
    assert fields["recipe.weights"] == ("int8", "bf16")
    assert "limits.max_seq_len" not in fields
    key = engine["key"][:12]
    same = line("engines", "why", key, key, "--json")
    assert same.document == []
    assert "They are the same engine." in same.err


def test_a_tampered_engine_is_noticed(line: Line, engine: dict[str, Any]) -> None:
    key = engine["key"][:12]
    assert line("engines", "verify", key, "--json").document == {key: []}
    (Path(engine["folder"]) / "openvino_model.xml").write_text("<ten/>")
    said = line("engines", "verify", "--json")
    assert said.code == 1
    assert said.document == {key: ["openvino_model.xml was altered: its checksum differs."]}
    assert said.err.splitlines()[-1] == f"Next: enginebench engines remove {key}"


@pytest.mark.parametrize("left", ["{", None])
def test_an_engine_without_a_manifest_is_noticed(
    line: Line, engine: dict[str, Any], left: str | None
) -> None:
    manifest = Path(engine["folder"]) / "engine.json"
    manifest.unlink() if left is None else manifest.write_text(left)
    said = line("engines", "verify", "--json")
    assert said.code == 1
    ((folder, (problem,)),) = said.document.items()
    assert folder == engine["folder"]
    assert "engine.json" in problem
    assert problem in said.err


def test_engines_remove(line: Line, engine: dict[str, Any]) -> None:
    said = line("engines", "remove", engine["key"][:12], "--json")
    assert said.code == 0
    assert said.document["key"] == engine["key"]
    assert not Path(engine["folder"]).exists()
    assert line("engines", "list", "--json").document["engines"] == []


def test_a_model_name_with_brackets_is_shown_as_it_is(
    line: Line, tmp_path: Path, quick_builder: None
) -> None:
    model = write_checkpoint(tmp_path / "my[red]model[b]")
    assert line("build", "--model", model, "--recipe", "bf16").code == 0
    assert "my[red]model[b]" in line("engines", "list").err


@pytest.fixture
def quantised(line: Line) -> dict[str, Any]:
    """A quantised checkpoint of newsbrief, as it is listed."""
    said = line("build", *("--model", "newsbrief", "--target", "a30"), *STAGE, "bf16")
    assert said.code == 0
    (row,) = line("engines", "list", "--json").document["checkpoints"]
    return dict(row)


STAGE = ("--stage", "quantise", "--recipe")


def test_a_quantised_checkpoint_is_listed_shown_and_verified(
    line: Line, engine: dict[str, Any], quantised: dict[str, Any]
) -> None:
    assert (quantised["kind"], quantised["model"], quantised["recipe"]) == (
        "quantised checkpoint",
        "newsbrief",
        "bf16",
    )
    files = [path for path in Path(quantised["folder"]).iterdir() if path.name != "checkpoint.json"]
    assert quantised["size_bytes"] == sum(path.stat().st_size for path in files)
    listed = line("engines", "list", "--json")
    assert [row["key"] for row in listed.document["engines"]] == [engine["key"]]
    assert listed.document["used_bytes"] > quantised["size_bytes"]
    assert "On the disk: " in listed.err
    assert "newsbrief" in listed.err
    shown = line("engines", "show", "newsbrief/bf16", "--json").document
    assert shown["identity"]["tensor_parallel"] == 1
    checked = line("engines", "verify", "--json")
    assert checked.document == {engine["key"][:12]: [], quantised["key"][:12]: []}


def test_quantised_checkpoints_are_compared_with_their_like(
    line: Line, engine: dict[str, Any], quantised: dict[str, Any]
) -> None:
    line("build", *("--model", "newsbrief", "--target", "a30"), *STAGE, "int8_wo")
    said = line("engines", "why", quantised["key"][:12], "newsbrief/int8_wo", "--json")
    fields = {row["field"]: (row["first"], row["second"]) for row in said.document}
    assert fields["recipe.weights"] == ("bf16", "int8")
    assert "kind `quantised checkpoint`; give two of one kind" in line.refused(
        2, "engines", "why", engine["key"][:12], quantised["key"][:12]
    )


@pytest.mark.parametrize("name", ["newsbrief/bf16", "key"])
def test_a_quantised_checkpoint_is_removed_by_name_or_key(
    line: Line, engine: dict[str, Any], quantised: dict[str, Any], name: str
) -> None:
    said = line("engines", "remove", quantised["key"][:12] if name == "key" else name, "--json")
    assert said.document["folder"] == quantised["folder"]
    assert not Path(quantised["folder"]).exists()
    assert Path(engine["folder"]).exists()


@pytest.mark.parametrize("called", ["folder", "key", "name"])
@pytest.mark.parametrize("kind", ["engine", "checkpoint"])
def test_what_cannot_be_read_is_removed_when_that_is_meant(
    line: Line, engine: dict[str, Any], quantised: dict[str, Any], kind: str, called: str
) -> None:
    folder = Path((engine if kind == "engine" else quantised)["folder"])
    (folder / f"{kind}.json").unlink()
    parts = {"engine": 3, "checkpoint": 2}[kind]
    names = {
        "folder": str(folder),
        "key": folder.name[-12:],
        "name": "/".join(folder.parts[-parts:]),
    }
    text = names[called]
    sentence = line.refused(2, "engines", "remove", text)
    assert f"has no {kind}.json" in sentence
    assert f"engines remove {folder} --damaged" in sentence
    assert folder.exists()

    said = line("engines", "remove", text, "--damaged", "--json")
    assert said.code == 0
    assert said.document["folder"] == str(folder)
    assert not folder.exists()
    assert len(line("engines", "verify", "--json").document) == 1


def test_of_several_damaged_folders_one_is_asked_for(line: Line, engine: dict[str, Any]) -> None:
    (Path(engine["folder"]) / "engine.json").unlink()
    other = Path(engine["folder"]).with_name("int8_wo-0123456789ab")
    other.mkdir()
    sentence = line.refused(2, "engines", "remove", "tiny/cpu/int8_wo", "--damaged")
    assert "fits 2 damaged folders; give one: " in sentence
    assert other.exists() and Path(engine["folder"]).exists()


def test_only_folders_with_a_name_of_the_store_are_removed_as_damaged(
    line: Line, engine: dict[str, Any]
) -> None:
    precious = Path(engine["folder"]).with_name("my-notes")
    precious.mkdir()
    (precious / "thesis.txt").write_text("years")
    sentence = line.refused(2, "engines", "remove", precious, "--damaged")
    assert "delete that folder yourself" in sentence
    assert (precious / "thesis.txt").exists()


def test_an_engine_of_an_older_enginebench_is_not_called_damaged(
    line: Line, engine: dict[str, Any]
) -> None:
    manifest = Path(engine["folder"]) / "engine.json"
    said = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**said, "schema_version": said["schema_version"] - 1}))
    told = " ".join(line("engines", "list").err.split())
    assert "not usable: " in told and "was written by an older enginebench" in told
    assert "damaged" not in told
    assert line("engines", "remove", engine["folder"], "--damaged").code == 0


def test_a_sound_engine_is_found_beside_a_damaged_one_of_its_name(
    line: Line, engine: dict[str, Any]
) -> None:
    broken = Path(engine["folder"]).with_name("int8_wo-0123456789ab")
    broken.mkdir()
    shown = line("engines", "show", "tiny/cpu/int8_wo", "--json")
    assert shown.document["key"] == engine["key"]


OFFLINE = ("--scenario", "Offline", "--output", "out")
GPUS = ("--model", "newsbrief", "--target", "a30", "--recipe", "int8_wo", "--tensor-parallel")


def test_an_engine_for_two_gpus_is_planned_and_its_checkpoint_has_two_parts(line: Line) -> None:
    plan = line("build", *GPUS, 2, "--dry-run", "--json")
    assert plan.code == 0
    command = plan.document["command"]
    assert command[command.index("--nccl_plugin") + 1] == "auto"
    assert {"field": "pretrained_config.mapping.tp_size", "values": [2], "rule": ""} in (
        plan.document["expected"]
    )
    assert "the part of one GPU after the other" in " ".join(plan.err.split())
    made = line("build", *GPUS, 2, "--stage", "quantise", "--json")
    folder = Path(made.document["folder"])
    assert {path.name for path in folder.glob("*.safetensors")} == {
        "rank0.safetensors",
        "rank1.safetensors",
    }
    assert "--tensor-parallel 2" in made.err.splitlines()[-1]
    one = line("build", *GPUS, 1, "--stage", "quantise", "--json")
    assert one.document["folder"] != made.document["folder"]


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("build", *GPUS, 3, "--dry-run"), "tensor_parallel 3 does not divide num_key_value_heads"),
        (("build", *GPUS, 3, "--stage", "quantise"), "does not divide num_key_value_heads 2"),
        (("build", *GPUS, 0, "--dry-run"), "limits.tensor_parallel is 0; give 1 or more."),
        (("build", *GPUS[:2], *GPUS[4:], 2), "the CPU engine has one part"),
        (("build", *GPUS, 2, "--emulate"), "the CPU engine has one part"),
        (("run", *GPUS, 2, *OFFLINE), "2 GPUs share is built here and not executed"),
        (("run", *GPUS, 2, *OFFLINE, "--emulate", "--mode", "accuracy"), "here and not executed"),
    ],
)
def test_gpus_that_cannot_share_an_engine(
    line: Line, command: tuple[object, ...], told: str, tmp_path: Path
) -> None:
    assert told in line.refused(2, *command)
    assert not (tmp_path / "home").exists()  # nothing was quantised, prepared or built
