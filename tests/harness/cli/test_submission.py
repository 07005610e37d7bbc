"""`enginebench audit` and `enginebench submission` as a user calls them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from harness.cli.main import run
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import rehearse


def call(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, Any, str]:
    """Exit code, JSON and text."""
    code = run([*map(str, arguments), "--json"])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


def test_an_audit_is_shown_rule_by_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.runs.audit.never_packed", lambda record, chosen: iter(()))
    finished = rehearse(tmp_path, spec=SimulatedSpec(num_tokens=5))
    code, document, text = call(capsys, "audit", finished.folder.path)
    assert code == 0
    assert document["test"] == "TEST06"
    assert document["verdict"]["valid"]
    assert re.search(r"^ok +EOS check", text, re.MULTILINE)
    pack = f"enginebench submission pack {finished.folder.path} --submitter NAME --system FILE"
    assert f"(enginebench doctor --system-json begins one), then pack: {pack}" in text


def test_a_simulated_run_is_not_packed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = rehearse(tmp_path, spec=SimulatedSpec(num_tokens=5))
    options = ["--submitter", "Org", "--system", "none.yaml", "--division", "open"]
    output = tmp_path / "tree"
    code, document, text = call(
        capsys, "submission", "pack", finished.folder.path, *options, "-o", output
    )
    assert code == 1
    assert document["reasons"] == ["run: it is a simulated run, never a result; run a real engine."]
    assert text.startswith("Not packed:\n  run: it is a simulated run")
    assert document["error"].startswith("Not packed. run: it is a simulated run")
    assert not output.exists()


def test_a_folder_that_is_no_submission_is_an_error_of_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document, _ = call(capsys, "submission", "check", tmp_path)
    assert code == 2
    assert "is no submission" in document["error"]


def test_findings_are_listed_and_the_official_checker_is_pointed_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "open" / "Org" / "systems").mkdir(parents=True)
    code, document, text = call(capsys, "submission", "check", tmp_path)
    assert code == 1
    assert not document["ok"]
    assert {
        "where": "open/Org",
        "sentence": "the folder src/ is missing; add the code that ran.",
    } in document["findings"]
    assert "not run: it is in a checkout of https://github.com/mlcommons/inference" in text


def test_a_submitter_who_is_not_in_the_tree_is_an_error_of_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The official checker finds nothing wrong with nothing."""
    (tmp_path / "open" / "Example" / "systems").mkdir(parents=True)
    code, document, _ = call(capsys, "submission", "check", tmp_path, "--submitter", "Exmple")
    assert code == 2
    assert "Unknown submitter `Exmple`. Did you mean `Example`?" in document["error"]
