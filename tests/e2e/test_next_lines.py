"""Whoever pastes each `Next:` line after the other is never refused, whatever they begin with."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

import configs
from build_engine.errors import EXIT_OK, EXIT_RESULT
from harness.cli.main import run
from tests.harness.cli.rows import make_row

STARTS = (
    ["doctor"],
    ["targets"],
    ["recipes"],
    ["workloads"],
    ["engines", "list"],
    ["dataset", "--count", "300"],
)
FEW = "6"  # samples, where a user would take more time


@pytest.fixture(autouse=True)
def in_a_small_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, a workload of few samples, and a demo that is over."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(Path(configs.__file__).parent, tmp_path / "configs")
    workload = tmp_path / "configs" / "workloads" / "newsbrief.yaml"
    text = workload.read_text()
    for shipped, small in (
        ("num_samples: 13368", f"num_samples: {FEW}"),
        ("min_duration_s: 600", "min_duration_s: 0"),
        ("min_query_count: 1000", f"min_query_count: {FEW}"),
    ):
        assert shipped in text
        text = text.replace(shipped, small)
    workload.write_text(text)
    monkeypatch.setattr(configs, "__file__", str(tmp_path / "configs" / "__init__.py"))
    rows = [SimpleNamespace(row=make_row(recipe)) for recipe in ("bf16", "int8_wo")]
    monkeypatch.setattr("harness.demo.run_demo", lambda *_, **__: rows)
    monkeypatch.setattr("harness.report.html.report.write_report", lambda _, page: page)


def test_each_next_line_works(capsys: pytest.CaptureFixture[str]) -> None:
    done: list[list[str]] = []
    ends: list[str] = []
    for words in STARTS:
        while words not in done:
            done.append(words)
            code = run(_short(words))
            said = capsys.readouterr().err
            assert code in (EXIT_OK, EXIT_RESULT), (words, said)
            *_, last = said.splitlines()
            if not last.startswith("Next: "):
                ends.append(last)
                break
            program, *words = shlex.split(last.removeprefix("Next: "))
            assert program == "enginebench"
    commands = {words[0] for words in done}
    assert commands >= {"build", "dataset", "demo", "doctor", "engines", "recipes", "run"}
    assert all(end.startswith("Then: ") for end in ends)


def _short(words: list[str]) -> list[str]:
    """The same with fewer samples."""
    return [
        FEW if before == "--count" else word
        for before, word in zip(["", *words[:-1]], words, strict=True)
    ]
