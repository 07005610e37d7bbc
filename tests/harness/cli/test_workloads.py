"""`workloads`: what there is, and what of it can be changed; what it shows can be set."""

from __future__ import annotations

from pathlib import Path

import pytest

import configs
from build_engine.config import apply_overrides
from harness.rules.workload import load_workload, workload_names
from tests.harness.cli.line import Line


def test_the_list_has_every_workload(line: Line) -> None:
    said = line("workloads", "--json")
    assert [found["name"] for found in said.document] == workload_names()
    for name in workload_names():
        assert f"\n{name} " in said.err
    assert said.err.splitlines()[-1] == "Next: enginebench workloads newsbrief"


@pytest.mark.parametrize("name", workload_names())
def test_each_field_that_is_shown_can_be_set_to_its_value(
    line: Line, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr("harness.cli.output._PLAIN_WIDTH", 400)
    said = line("workloads", name)
    assert said.code == 0
    workload = load_workload(name)
    _, _header, *rows, _next = said.err.splitlines()
    fields = {field: value.strip() for field, _, value in (row.partition(" ") for row in rows)}
    assert {"max_new_tokens", "prompt_template", "min_duration_s"} <= set(fields)
    for field, value in fields.items():
        assert apply_overrides(workload, [f"{field}={value}"]) == workload, field


def test_one_of_a_file(line: Line, tmp_path: Path) -> None:
    shipped = Path(configs.__file__).parent / "workloads" / "newsbrief.yaml"
    own = tmp_path / "own.yaml"
    own.write_text(shipped.read_text().replace("name: newsbrief", "name: own"))
    said = line("workloads", own, "--json")
    assert said.document["name"] == "own"
    assert " --dataset FILE" in said.err.splitlines()[-1]
    assert "Unknown workload `own`" in line.refused(2, "workloads", "own")
