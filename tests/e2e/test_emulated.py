"""A GPU recipe carried out on a CPU: its accuracy through the same harness, and nothing else."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from harness.cli.main import run

EMULATED = ("run", "--model", "newsbrief", "--target", "a30", "--recipe", "int8_wo", "--emulate")


def plan(folder: Path, mode: str = "accuracy") -> tuple[str, ...]:
    return ("--scenario", "Offline", "--mode", mode, "--count", "12", "--output", str(folder))


def test_it_is_scored_marked_and_never_packed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run([*EMULATED, *plan(folder), "--json"]) == 0
    said = capsys.readouterr()
    assert "newsbrief int8_wo emulated a30, newsbrief Offline [emulated, " in said.err
    document = json.loads(said.out)
    assert document["marks"] == ["emulated", "demo workload", "short"]
    assert document["accuracy"]["scores"]["rouge1"] > 50
    assert "--emulate" in document["command"]
    engine = document["engine"]["identity"]
    assert (engine["target"]["name"], engine["backend"]["name"]) == ("a30", "emulated")
    system = tmp_path / "system.json"
    system.write_text("{}")
    pack = ("submission", "pack", str(folder), "--submitter", "Us", "--system", str(system))
    assert run([*pack, "--division", "open", "--output", str(tmp_path / "tree")]) != 0
    assert not (tmp_path / "tree").exists()


def test_a_build_of_one_says_so_and_tells_of_a_run_that_is_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["build", *EMULATED[1:]]) == 0
    told = capsys.readouterr().err.splitlines()
    assert any(line.startswith("emulated, ") for line in told)
    assert shlex.split(told[-1])[-2:] == ["--mode", "accuracy"]
    assert run(["engines", "list", "--json"]) == 0
    said = capsys.readouterr()
    assert "a30, emulated" in said.err
    listed = json.loads(said.out)["engines"]
    assert {each["emulated"] for each in listed if each["target"] == "a30"} == {True}


@pytest.mark.parametrize("mode", ["performance", "both"])
def test_its_speed_is_not_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], mode: str
) -> None:
    assert run([*EMULATED, *plan(tmp_path / "run", mode)]) == 2
    assert "has an accuracy and no speed; add --mode accuracy." in capsys.readouterr().err


def test_a_cpu_has_nothing_to_emulate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ("run", "--model", "newsbrief", "--recipe", "int8_wo", "--emulate")
    assert run([*command, *plan(tmp_path / "run")]) == 2
    assert "leave out --emulate, or choose a GPU as the target" in capsys.readouterr().err


def test_a_recipe_that_the_gpu_refuses_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("run", "--model", "newsbrief", "--target", "a30", "--recipe", "fp8", "--emulate")
    assert run([*command, *plan(tmp_path / "run")]) == 2
    assert "`fp8` is refused on `a30`" in capsys.readouterr().err
