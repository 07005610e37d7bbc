"""Tables of commands in terminals of 80 columns, the first that somebody opens, and wider."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.harness.cli.line import Line
from tests.harness.cli.rows import make_row


@pytest.fixture(autouse=True, params=[80, 100, 140])
def width(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("harness.cli.output._PLAIN_WIDTH", request.param)
    columns: int = request.param
    return columns


@pytest.mark.parametrize(("slow", "shown"), [(1.0, "34.5/98.2"), (8.0, "276/786")])
def test_the_table_of_the_demo_is_whole(
    line: Line, monkeypatch: pytest.MonkeyPatch, slow: float, shown: str
) -> None:
    rows = [SimpleNamespace(row=make_row(recipe, slow)) for recipe in ("bf16", "int4_awq")]
    monkeypatch.setattr("harness.demo.run_demo", lambda *_, **__: rows)
    monkeypatch.setattr("harness.report.html.report.write_report", lambda _, page: page)
    text = line("demo").err
    assert "…" not in text
    assert text.count(shown) == 4
    assert "12,346" in text


@pytest.mark.parametrize(
    ("command", "whole"),
    [
        (("recipes",), "smoothquant"),
        (("recipes", "--target", "a30"), "smoothquant"),
        (("targets",), "TFLOPS"),
        (("workloads",), "llama3.1-8b-edge"),
        (("workloads", "llama3.1-8b"), "scenarios.Interactive.min_query_count"),
        (("doctor",), "MLPerf LoadGen"),
    ],
)
def test_lists_are_whole(line: Line, width: int, command: tuple[str, ...], whole: str) -> None:
    *table, _next = line(*command).err.splitlines()
    table = [row for row in table if "a run changes a field by" not in row]  # a sentence
    text = "\n".join(table)
    assert "…" not in text
    assert whole in text
    if command[-1] != "a30":  # whose reasons are sentences
        assert max(map(len, table)) <= width


def test_engines_are_whole(line: Line, width: int, engine: dict[str, Any]) -> None:
    for command in (("list",), ("show", engine["key"]), ("why", engine["key"], engine["key"])):
        said = line("engines", *command)
        assert said.code == 0
        assert "…" not in said.err
    shown = line("engines", "show", engine["key"]).err
    digest = engine["identity"]["checkpoint"]
    assert digest in "".join(shown.split())
