"""Runs are found wherever they lie, and what is no result is said by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import UsageError
from harness.report.find import find_runs
from tests.harness.report.results import make_run
from tests.harness.runs.claims import claim


def test_a_run_a_study_and_any_folder_above_are_looked_into(tmp_path: Path) -> None:
    made = [make_run(tmp_path / "study" / f"point-{n}").folder.path for n in range(2)]
    alone = make_run(tmp_path / "alone").folder.path
    assert [r.folder for r in find_runs([alone]).results] == [alone]
    assert {r.folder for r in find_runs([tmp_path / "study"]).results} == set(made)
    assert {r.folder for r in find_runs([tmp_path]).results} == {*made, alone}


def test_a_run_that_is_named_twice_is_one_and_keeps_who_named_it_first(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "study" / "run").folder.path
    found = find_runs([folder, tmp_path, tmp_path / "study" / ".." / "study"])
    assert [(each.folder, each.source) for each in found.results] == [(folder, folder)]


def test_results_of_a_folder_are_in_order_of_time(tmp_path: Path) -> None:
    make_run(tmp_path / "a", started_utc="2026-02-02T00:00:00+00:00")
    make_run(tmp_path / "b", started_utc="2026-02-01T00:00:00+00:00")
    assert [result.name for result in find_runs([tmp_path]).results] == ["b", "a"]


def test_unfinished_edited_and_unreadable_runs_are_passed_over_by_name(tmp_path: Path) -> None:
    make_run(tmp_path / "sound")
    claim(tmp_path / "failed", modes=()).ended("failed", "The engine died.")
    edited = make_run(tmp_path / "edited")
    text = edited.folder.record.read_text().replace('"num_cpus": 64', '"num_cpus": 65')
    edited.folder.record.write_text(text)
    lost = make_run(tmp_path / "lost", answers=["Rain."] * 5)
    lost.folder.test("accuracy").answers.unlink()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    found = find_runs([tmp_path])
    assert [result.name for result in found.results] == ["sound"]
    reasons = {passed.folder.name: passed.reason for passed in found.passed_over}
    assert "failed (The engine died); only complete runs" in reasons["failed"]
    assert "its seal does not match" in reasons["edited"]
    assert "mlperf_log_accuracy.json is missing" in reasons["lost"]
    assert "not valid JSON" in reasons["broken"]
    found.require_named()  # none of them was
    with pytest.raises(UsageError, match=r"failed \(The engine died\)"):
        find_runs([tmp_path / "sound", tmp_path / "failed"]).require_named()


def test_hidden_folders_and_links_are_not_looked_into(tmp_path: Path) -> None:
    run = make_run(tmp_path / ".cache" / "run").folder.path
    (tmp_path / "link").symlink_to(run)
    with pytest.raises(UsageError, match=r"has no run in it: there is no run\.json"):
        find_runs([tmp_path])


@pytest.mark.parametrize("name", ["missing", "file"])
def test_what_is_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=f"{name} is no folder; give the folder of a run"):
        find_runs([tmp_path / name])
