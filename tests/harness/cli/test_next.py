"""The last line of a command: what to do now, as a command that can be pasted and works."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build_engine.recipe import load_recipe, refusal
from build_engine.store.engine import open_engine
from build_engine.target import load_target, target_names
from harness.cli.output import Output
from harness.cli.program import command_line, here, program
from harness.rules.workload import load_workload
from harness.runs.choice import RunChoice
from tests.build_engine.checkpoints import write_checkpoint
from tests.harness.cli.line import Line, Said
from tests.harness.cli.rows import make_row


def next_line(said: Said) -> str:
    *_, last = said.err.splitlines()
    assert last.startswith(("Next: ", "Then: "))
    return last[6:]


@pytest.mark.parametrize("target", target_names())
def test_no_build_is_told_that_would_be_refused(line: Line, target: str) -> None:
    words = shlex.split(next_line(line("recipes", "--target", target)))
    if words[1] == "build":
        given = dict(zip(words[2::2], words[3::2], strict=True))
        assert given["--target"] == target == "cpu"
        assert refusal(load_recipe(given["--recipe"]), load_target(target)) is None
    else:
        assert words == ["enginebench", "doctor"]


def test_a_plan_of_files_of_ones_own_tells_of_their_build(line: Line, tmp_path: Path) -> None:
    recipe, workload = tmp_path / "mine.yaml", tmp_path / "asked.yaml"
    other = {"name": "bf16", "weights": "int8", "algorithm": "round_to_nearest"}
    recipe.write_text(json.dumps(load_recipe("int8_wo").model_dump(mode="json") | other))
    workload.write_text(json.dumps(load_workload("newsbrief").model_dump(mode="json")))
    plan = ("plan", "--model", "newsbrief", "--target", "cpu", "--workload", workload)
    words = shlex.split(next_line(line(*plan, "--recipe", recipe)))
    assert words[words.index("--recipe") + 1] == str(recipe)
    assert words[words.index("--workload") + 1] == str(workload)


def test_a_build_tells_of_a_run(line: Line, tiny: Path, quick_builder: None) -> None:
    build = ["build", "--model", tiny, "--recipe", "int8_wo"]
    assert next_line(line(*build)).endswith(" --scenario Offline --count 200")
    edge = [*build, "--workload", "llama3.1-8b", "--max-input-len", 64, "--max-new-tokens", 64]
    assert next_line(line(*edge)).endswith(" --count 200 --dataset FILE")


def test_a_calibrated_engine_is_run_again_with_its_workload_named_once(
    line: Line, tiny: Path, quick_builder: None
) -> None:
    """Its articles were put in a workload's prompt, which building it anew has to name as well."""
    build = ["build", "--model", tiny, "--recipe", "int4_awq", "--set", "recipe.group_size=32"]
    said = line(*build, "--set", "recipe.calibration_samples=2", "--json")
    assert said.code == 0
    found = open_engine(Path(said.document["folder"]))
    assert "--workload newsbrief" in found.rebuild_command()
    words = shlex.split(RunChoice(scenario="Offline", output=Path("run"), count=2).command(found))
    assert words.count("--workload") == 1
    assert words[words.index("--workload") + 1] == "newsbrief"


def test_a_machine_that_builds_nothing_is_told_of_the_doctor(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build_engine.backend.installed_version", lambda name: None)
    assert next_line(line("recipes")) == "enginebench doctor"
    assert next_line(line("engines", "list")) == "enginebench doctor"


def test_a_build_for_a_gpu_that_is_not_here_is_told_for_its_machine(line: Line, tiny: Path) -> None:
    plan = ["build", "--model", tiny, "--recipe", "int8_wo", "--target", "a30", "--dry-run"]
    said = line(*plan).err.splitlines()[-1]
    assert said.startswith("Then: in the container, on a machine with that GPU: enginebench build")


def test_a_tokenizer_alone_is_told_to_need_its_weights(line: Line, tiny: Path, news: Path) -> None:
    (tiny / "config.json").unlink()
    said = line("dataset", "--dataset", news, "--model", tiny).err.splitlines()[-1]
    assert said.startswith("Then: get the weights of that tokenizer as well, then run: enginebench")


def test_a_told_command_is_taken_as_it_stands(
    line: Line, tmp_path: Path, quick_builder: None, news: Path
) -> None:
    """Through a shell's own reading of it, for names that a shell would read otherwise."""
    model = write_checkpoint(tmp_path / "it's a $HOME `model`;")
    told = shlex.split(next_line(line("build", "--model", model, "--recipe", "int8_wo")))
    assert told[:4] == ["enginebench", "run", "--model", str(model)]
    prepared = line("dataset", "--dataset", news, "--model", model, "--count", 3)
    told = shlex.split(next_line(prepared))
    assert told[1] == "run"
    assert ["--dataset", str(news), "--count", "3"] == told[-6:-2]


def test_a_calibration_set_is_for_a_build(line: Line, tiny: Path, news: Path) -> None:
    said = line("dataset", "--dataset", news, "--model", tiny, "--calibration")
    told = next_line(said)
    assert told.startswith(
        f"enginebench build --model {tiny} --workload newsbrief --recipe int4_awq"
    )
    assert told.endswith(f"--calibration {news}")


def test_an_engine_that_cannot_be_read_is_to_be_removed(line: Line, engine: dict[str, Any]) -> None:
    (Path(engine["folder"]) / "engine.json").write_text("{")
    assert next_line(line("engines", "verify")) == (
        f"enginebench engines remove {engine['folder']} --damaged"
    )


def test_doctor_begins_a_system_file_for_packing(line: Line) -> None:
    told = next_line(line("doctor", "--system-json"))
    assert "write this to a FILE, fill in those fields, then pack: enginebench submission" in told


def test_the_demo_of_another_round_goes_on_in_it(
    line: Line, commands_told: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = make_row("bf16")
    monkeypatch.setattr("harness.demo.run_demo", lambda *_, **__: [SimpleNamespace(row=row)])
    monkeypatch.setattr("harness.report.html.report.write_report", lambda _, page: page)
    line("demo")
    line("demo", "--round", "v6.0")
    first, second = commands_told
    assert "--round" not in first
    assert second[second.index("--round") + 1] == "v6.0"


def test_the_program_is_named_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin" / "enginebench"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.setattr(sys, "argv", [str(script), "targets"])
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == ["enginebench"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program() == [str(script)]
    monkeypatch.setattr(sys, "argv", ["./enginebench", "targets"])
    assert program() == ["./enginebench"]
    other = shutil.copytree(script.parent, tmp_path / "other")
    monkeypatch.setenv("PATH", str(other))
    assert program() == ["./enginebench"]
    monkeypatch.setattr(sys, "argv", ["/x/enginebench/__main__.py", "targets", "--json"])
    orig = [".venv/bin/python", "-X", "dev", "-m", "enginebench"]
    monkeypatch.setattr(sys, "orig_argv", [*orig, "targets", "--json"])
    assert program() == orig
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    assert program() == ["enginebench"]


def test_commands_within_sentences_are_named_as_it_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [".venv/bin/enginebench", "targets"])
    monkeypatch.setenv("PATH", str(tmp_path))
    out = Output(as_json=True)
    out.error("It is gone; see `enginebench engines list`, of enginebench.", 2)
    out.advice("prepare it with `enginebench dataset`")
    captured = capsys.readouterr()
    told = "It is gone; see `.venv/bin/enginebench engines list`, of enginebench."
    assert captured.err == (
        f"enginebench: {told}\nThen: prepare it with `.venv/bin/enginebench dataset`\n"
    )
    assert json.loads(captured.out)["error"] == told


@pytest.mark.parametrize(
    ("origin", "requirement"),
    [
        (None, "'enginebench[cpu]'"),
        ("{broken", "'enginebench[cpu]'"),
        (
            {"url": "file:///home/a%20b", "dir_info": {"editable": True}},
            "--editable '/home/a b[cpu]'",
        ),
        ({"url": "file:///src/enginebench", "dir_info": {}}, "'/src/enginebench[cpu]'"),
        (
            {"url": "https://x.org/e.git", "vcs_info": {"vcs": "git", "commit_id": "0a"}},
            "'enginebench[cpu] @ git+https://x.org/e.git'",
        ),
    ],
)
def test_an_installation_is_told_for_this_interpreter_and_from_where_this_package_came(
    monkeypatch: pytest.MonkeyPatch, origin: dict[str, Any] | str | None, requirement: str
) -> None:
    text = json.dumps(origin) if isinstance(origin, dict) else origin
    package = SimpleNamespace(read_text=lambda _name: text)
    monkeypatch.setattr("harness.cli.program.metadata.distribution", lambda _name: package)
    monkeypatch.setattr(sys, "executable", "/opt/py 3/bin/python")
    said = here("`nncf` is not installed; install it with: pip install 'enginebench[cpu]'")
    assert said.endswith(f"with: '/opt/py 3/bin/python' -m pip install {requirement}")
    assert here("(pip install x==1)") == "('/opt/py 3/bin/python' -m pip install x==1)"


def test_words_that_a_terminal_cannot_show_are_given_by_their_bytes() -> None:
    name = "a\x1b[31m\n'b\\\udcff"
    assert command_line(["show", name]) == r"enginebench show $'a\x1b[31m\x0a\x27b\x5c\xff'"


def test_advice_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=False)
    out.advice("fix the cause")
    assert capsys.readouterr().err == "Then: fix the cause\n"
