"""The example of `import enginebench`, executed as it is printed."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

import enginebench


def test_the_example_does_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert enginebench.__doc__ is not None
    indented = [line for line in enginebench.__doc__.splitlines() if line.startswith("    ")]
    names: dict[str, Any] = {}
    exec(textwrap.dedent("\n".join(indented)), names)
    assert capsys.readouterr().out == "performance VALID\naccuracy VALID\n"
    assert names["run"].folder.path == tmp_path / "results" / "first"
    assert names["again"] == names["run"]


def test_the_page_about_it_has_the_same_example() -> None:
    page = (Path(__file__).parents[2] / "docs" / "python.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    assert enginebench.__doc__ is not None
    for line in example.splitlines():
        assert line.startswith("print(") or line in enginebench.__doc__
