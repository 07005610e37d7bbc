"""What stands in the file, whatever shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from build_engine.errors import OutputError, UnknownName, UsageError
from build_engine.files import parse_json
from harness.report.html.report import write_report
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.run import Run
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.report.html.cells import Cells
from tests.harness.report.html.studies import make_measured
from tests.harness.report.results import make_run, references
from tests.harness.runs.claims import MACHINE, claim


def test_numbers_are_those_of_the_records_to_the_last_digit(study: Path, plain: Path) -> None:
    cells = Cells(plain)
    for run in map(Run.read, study.glob("*-*")):
        for number, test in enumerate(run.record.performance_tests, start=1):
            row = f"{run.name}/performance{f'-{number}' if number > 1 else ''}"
            assert test.metrics is not None
            for name in ("tokens_per_s", "samples_per_s", "ttft_p99_s", "tpot_p50_s"):
                assert cells.found.get((row, name)) == getattr(test.metrics, name)
    told = parse_json(cells.json)
    figures = {
        (each["label"], figure["metric"], figure["scenario"]): figure
        for each in told["candidates"]
        for figure in each["figures"]
    }
    assert figures["int8_wo", "throughput", "Offline"]["values"] == [1200.0, 1212.0, 1188.0]
    assert (
        cells.found["int8_wo", "throughput"]
        == (figures["int8_wo", "throughput", "Offline"]["value"])
    )
    assert cells.found["int8_wo", "rouge1"] == figures["int8_wo", "rouge1", None]["value"]


def test_verdicts_come_first_and_what_failed_is_said(plain: Path) -> None:
    html = plain.read_text(encoding="utf-8")
    assert html.index("Run int8_wo: 1.20") < html.index("<svg")
    assert "int4_awq, Offline failed: The engine died." in html
    assert "DEMO WORKLOAD" in html.upper() and "Trials over few samples" in html


def test_what_was_passed_over_is_said(tmp_path: Path) -> None:
    make_run(tmp_path / "sound")
    claim(tmp_path / "failed", modes=()).ended("failed", "The disk was full.")
    html = write_report([tmp_path], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "holds a run that is failed (The disk was full)" in html


def test_one_run_without_times_or_timeline_is_a_report(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    html = write_report([tmp_path / "run"], tmp_path / "new" / "r.html").read_text("utf-8")
    assert "no other speed is there to compare it with" in html and "timeline-1" not in html


def test_times_that_cannot_be_read_leave_a_report_without_their_curve(tmp_path: Path) -> None:
    run = make_measured(tmp_path / "run", "bf16", Scenario.SERVER)
    given = run.folder.test("performance").given
    given.write_bytes(b"no arrays")
    Run.read(run.folder.path).changed(files=run.folder.digests())
    html = write_report([run.folder.path], tmp_path / "r.html").read_text(encoding="utf-8")
    assert 'id="server-ttft"' not in html and 'id="timeline-1"' in html


def test_the_baseline_can_be_chosen(study: Path, tmp_path: Path) -> None:
    for name in ("int8_wo", str(study / "int8_wo-offline")):
        told = parse_json(Cells(write_report([study], tmp_path / "r.html", name)).json)
        assert told["baseline"] == "int8_wo"
        assert [each["label"] for each in told["candidates"]] == ["int8_wo", "bf16", "int4_wo"]
    with pytest.raises(UnknownName, match="Unknown baseline `int9_wo`"):
        write_report([study], tmp_path / "none.html", "int9_wo")
    assert not (tmp_path / "none.html").exists()


def test_a_lone_emulation_is_said_to_be_one_everywhere(tmp_path: Path) -> None:
    run = make_run(
        tmp_path / "run",
        tokens_per_s=(),
        answers=references(5),
        marks=("emulated", "demo workload"),
    )
    html = write_report([run.folder.path], tmp_path / "r.html").read_text(encoding="utf-8")
    text = html[: html.index('id="data"')]
    assert (
        "How fast it is is not known: bf16 emulated cpu has an accuracy and no speed of a GPU."
        in text
    )
    assert "on cpu, emulated</h1>" in text
    assert "cpu, emulated on a CPU, computes in" in text
    assert "bf16 emulated cpu for cpu, engine.json" in text
    assert re.search(r">\s*bf16\s*<", text) is None


def test_a_measured_baseline_comes_before_an_emulated_one(tmp_path: Path) -> None:
    make_run(
        tmp_path / "a",
        tokens_per_s=(),
        answers=references(5),
        marks=("emulated",),
        engine=resealed(make_manifest("bf16"), checkpoint="d" * 64),
        started_utc="2026-01-01T00:00:00+00:00",
    )
    make_run(tmp_path / "b", answers=references(5), started_utc="2026-01-02T00:00:00+00:00")
    told = parse_json(Cells(write_report([tmp_path], tmp_path / "r.html")).json)
    assert told["baseline"] == "bf16"


def test_the_same_runs_give_the_same_page(study: Path, plain: Path) -> None:
    again = write_report([study], study.parent / "again.html").read_text(encoding="utf-8")
    made = re.compile(r"on \d{4}-\d\d-\d\d \d\d:\d\d UTC")
    assert made.sub("", again) == made.sub("", plain.read_text(encoding="utf-8"))


def test_without_a_result_there_is_no_report(tmp_path: Path) -> None:
    claim(tmp_path / "failed", modes=()).ended("failed", "The disk was full.")
    with pytest.raises(UsageError, match=r"None of these runs has a result.*disk was full"):
        write_report([tmp_path], tmp_path / "r.html")
    with pytest.raises(UsageError, match="disk was full"):
        write_report([tmp_path / "failed"], tmp_path / "r.html")
    assert not (tmp_path / "r.html").exists()


def test_a_place_that_takes_no_file_is_said(tmp_path: Path) -> None:
    make_run(tmp_path / "run")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="Cannot write to"):
        write_report([tmp_path / "run"], tmp_path / "file" / "r.html")


def test_a_simulated_run_among_measured_ones_is_stamped_and_apart(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "bf16", answers=references(5))
    make_run(tmp_path / "b", "int8_wo", answers=references(5), tokens_per_s=(1200.0,))
    make_run(
        tmp_path / "c",
        "simulated",
        answers=references(5),
        tokens_per_s=(9000.0,),
        marks=("simulated", "short"),
        engine=make_manifest("int4_wo"),
        started_utc="2020-01-01T00:00:00+00:00",
    )
    html = write_report([tmp_path], tmp_path / "r.html").read_text(encoding="utf-8")
    assert "A time model answered" in html and "(1 of 3 runs)" in html
    assert "int4_wo simulated cpu is simulated by a time model, and bf16 is not." in html
    assert "int8_wo looks fastest (1.20" in html
    assert "no Offline speed of theirs was measured: int4_wo simulated cpu." in html
    row = next(
        row
        for row in html.split("<tr")
        if ">int4_wo simulated cpu</th>" in row and "simulated" in row
    )
    assert "9.00" not in row and "9,000" not in row


def test_of_one_configuration_each_named_run_is_a_candidate(tmp_path: Path) -> None:
    paths = [make_run(tmp_path / name).folder.path for name in ("monday", "today")]
    told = parse_json(Cells(write_report(paths, tmp_path / "r.html", "today")).json)
    assert (told["baseline"], len(told["candidates"])) == ("today", 2)
    told = parse_json(Cells(write_report([tmp_path], tmp_path / "r.html")).json)
    assert [each["label"] for each in told["candidates"]] == ["bf16"]


def test_points_and_their_difference_are_of_the_same_samples(tmp_path: Path) -> None:
    """bf16 answered ten more, all of them wrong."""
    make_run(tmp_path / "a", "bf16", answers=[*references(30), *["No."] * 10])
    make_run(tmp_path / "b", "int8_wo", answers=["No.", *references(30)[1:]])
    page = write_report([tmp_path], tmp_path / "r.html")
    cells = Cells(page).found
    assert cells["bf16", "rouge1"] == pytest.approx(75.0)
    assert cells["int8_wo", "rouge1"] == pytest.approx(100 * 29 / 30)
    html = page.read_text(encoding="utf-8")
    assert (
        "ROUGE-1 of int8_wo is that of the 30 samples that it has in common with bf16, which "
        "scores 100.00 on them." in html
    )
    assert "\N{MINUS SIGN}3.33" in html


def test_scores_of_all_samples_have_no_note(plain: Path) -> None:
    assert "that it has in common with" not in plain.read_text(encoding="utf-8")


def test_the_head_of_the_page_is_true_of_all_its_runs(tmp_path: Path) -> None:
    make_run(tmp_path / "a", "bf16", started_utc="2026-01-01T00:00:00+00:00")
    html = write_report([tmp_path], tmp_path / "r.html").read_text(encoding="utf-8")
    head = "1 candidate, 1 run of workload newsbrief, 2026-01-01. Example CPU 9000"
    assert head in html
    other = load_workload("newsbrief").model_copy(update={"name": "other"})
    make_run(
        tmp_path / "b",
        "int8_wo",
        workload=other,
        machine=MACHINE.model_copy(update={"cpu": "Another CPU"}),
        started_utc="2026-01-03T00:00:00+00:00",
    )
    html = write_report([tmp_path], tmp_path / "r.html").read_text(encoding="utf-8")
    assert (
        "2 candidates, 2 runs of workloads newsbrief and other, 2026-01-01 to 2026-01-03. 2 "
        "machines, listed at the end." in html
    )


def test_a_candidate_says_why_its_share_of_the_limits_is_not_known(tmp_path: Path) -> None:
    make_run(tmp_path / "run", no_limits="the file of target `mine` is not known")
    html = write_report([tmp_path], tmp_path / "r.html").read_text("utf-8")
    assert "Offline, of the limit" in html
    assert "not known: the file of target `mine` is not known" in html
