"""Replicas on the page: figures are those of the runs, whatever the study's own record says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from build_engine.errors import UsageError
from build_engine.files import read_json, write_json
from harness.report.find import find_runs
from harness.report.html.report import write_report
from harness.report.html.scaling import scaling_folders, scaling_groups
from harness.studies.scaling import RECORD
from tests.harness.report.html.studies import make_replicated, make_scaled
from tests.harness.report.results import make_run


def groups(*paths: Path) -> list[list[tuple[str, ...]]]:
    """The tables of the section's charts, as texts."""
    found = find_runs(paths)
    section = scaling_groups(scaling_folders(found, paths), found.results)
    return [
        [tuple(cell.text for cell in row) for row in chart.rows]
        for group in section
        for chart in group.charts
    ]


def test_efficiency_is_against_one_of_the_first_step(tmp_path: Path) -> None:
    speeds, loads = groups(make_scaled(tmp_path / "study", (2, 4)))
    assert speeds == [
        ("2", "1,900", "1,900", "100.0%", "2.00", "5.0%", "38,000"),
        ("4", "3,439", "3,800", "90.5%", "4.00", "10.0%", "34,390"),
    ]
    assert [row[:4] for row in loads[:2]] == [
        ("2", "1 of 2", "node-1 (10.0.0.1)", "CPU 1"),
        ("2", "2 of 2", "node-2 (10.0.0.2)", "CPU 2"),
    ]
    assert loads[0][4:] == ("80.0", "2,000", "1,000", "2.00", "1.00", "\N{EN DASH}")
    assert len(loads) == 6


def test_the_page_says_where_the_head_saturates_and_what_bounds_the_run(tmp_path: Path) -> None:
    study = make_scaled(tmp_path / "study")
    html = write_report([study], tmp_path / "r.html").read_text("utf-8")
    notes = re.findall(r"<figcaption>([^<]*)</figcaption>", html)
    said = [note for note in notes if "the head was busy" in note]
    assert len(said) == 1
    assert "With 4 replicas the head was busy 10.0% of the time at 3,439 tokens/s" in said[0]
    assert "By that share it saturates at 34,390 tokens/s; what bounds the run are" in said[0]


def test_a_run_that_says_nothing_of_its_head_has_no_figure_of_it(tmp_path: Path) -> None:
    study = make_scaled(tmp_path / "study", (1, 2), with_head=False)
    speeds, _ = groups(study)
    assert [row[-2:] for row in speeds] == [("\N{EN DASH}", "\N{EN DASH}")] * 2
    html = write_report([study], tmp_path / "r.html").read_text("utf-8")
    assert "the head was busy" not in html


def test_the_runs_are_believed_and_not_the_study(tmp_path: Path) -> None:
    study = make_scaled(tmp_path / "study")
    before = groups(study)
    record = read_json(study / RECORD, UsageError, "")
    for step in record["steps"]:
        step |= {"tokens_per_s": 1e6, "efficiency": 9.0}
    write_json(study / RECORD, record)
    assert groups(study) == before


def test_a_study_is_found_by_its_runs_and_by_folders_above_it(tmp_path: Path) -> None:
    study = make_scaled(tmp_path / "study")
    whole = groups(study)
    assert groups(*(study / f"replicas-{count}" for count in (1, 2, 4))) == whole
    assert groups(tmp_path) == whole


def test_two_studies_have_charts_of_their_own(tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_scaled(tmp_path / name)
    html = write_report([tmp_path], tmp_path / "r.html").read_text("utf-8")
    titles = re.findall(r"<h3>(Throughput by replicas[^<]*)</h3>", html)
    assert titles == ["Throughput by replicas, one", "Throughput by replicas, two"]
    ids = re.findall(r'<figure class="chart" id="(scaling-[^"]+)"', html)
    assert len(ids) == len(set(ids)) == 4


def test_a_run_with_replicas_alone_shows_each(tmp_path: Path) -> None:
    make_replicated(tmp_path / "pair", 2, 1900.0)
    make_run(tmp_path / "plain")
    (loads,) = groups(tmp_path)
    assert [row[:2] for row in loads] == [("pair", "1 of 2"), ("pair", "2 of 2")]
    html = write_report([tmp_path], tmp_path / "r.html").read_text("utf-8")
    assert "With 2 replicas the head was busy 5.0% of the time at 1,900 tokens/s" in html


def test_a_step_that_failed_is_left_out_and_said(tmp_path: Path) -> None:
    study = make_scaled(tmp_path / "study")
    (study / "replicas-4" / "run.json").unlink()
    speeds, _ = groups(study)
    assert [row[0] for row in speeds] == ["1", "2"]


def test_without_replicas_there_is_no_section(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    assert groups(tmp_path) == []


@pytest.mark.parametrize("content", ["{", "{}", '{"steps": [{"replicas": 0}]}'])
def test_a_study_that_cannot_be_read_is_passed_over_and_said(tmp_path: Path, content: str) -> None:
    study = make_scaled(tmp_path / "study")
    (study / RECORD).write_text(content)
    (loads,) = groups(study)
    assert len(loads) == 7  # as those of any runs
    html = write_report([study], tmp_path / "r.html").read_text("utf-8")
    assert "scaling.json was passed over: " in html
