"""A backend of somebody else's: a folder and an entry on each floor, and a target that names it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli.main import run
from tests.toy.install import install_toy

TARGET = """
name: toybox
title: A box of toys
kind: cpu
backend: toy
sources: [the tests]
"""


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    install_toy(tmp_path / "site", monkeypatch)
    path = tmp_path / "toybox.yaml"
    path.write_text(TARGET, encoding="utf-8")
    return str(path)


def test_it_builds_and_runs_a_loadgen_test(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("run", "--model", "newsbrief", "--target", target, "--recipe", "bf16")
    plan = ("--scenario", "Offline", "--count", "8", "--output", str(tmp_path / "run"), "--json")
    assert run([*command, *plan]) == 1
    document = json.loads(capsys.readouterr().out)
    engine = document["engine"]["identity"]
    assert (engine["backend"]["name"], engine["target"]["compute"]) == ("toy", "pretence")
    assert engine["backend"]["libraries"] == {"toy-backend": "1.0"}
    test = document["tests"]["performance"]
    assert test["loadgen"]["validity"] == "VALID"
    assert "prefix caching: measured on" in test["verdict"]["sentence"]  # the toy says so of itself
    answers = json.loads((tmp_path / "run/accuracy/mlperf_log_accuracy.json").read_text())
    assert {entry["token_count"] for entry in answers} == {3}


def test_it_refuses_by_its_own_rules(
    target: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("build", "--model", "newsbrief", "--target", target, "--recipe", "int8_wo")
    assert run([*command]) == 2
    assert "`int8_wo` is refused on `toybox`: a toy is not quantised" in capsys.readouterr().err


def test_doctor_looks_for_what_it_needs(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    run(["doctor", "--json"])
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["Toys"]["finding"] == "1.0"
