"""`enginebench compare`: what is said, what is written, and the exit code."""

from __future__ import annotations

import csv
import io
import json
import shlex
from pathlib import Path

import pytest

from harness.rules.scenario import Scenario
from harness.runs.limits_record import PartOfLimit
from harness.studies.record import Point, StudyRecord
from tests.harness.cli.line import Line
from tests.harness.report.results import make_limits, make_run, references
from tests.harness.runs.claims import claim

NUM = 40


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A baseline, and one that is a fifth faster and gives 20 of 40 answers wrong, one of them with
    what Markdown and a terminal would obey.
    """
    folder = tmp_path / "study"
    answers = references(NUM)
    wrong = [f"No | <b>{n}</b> \x1b[31m" if n < 20 else text for n, text in enumerate(answers)]
    make_run(folder / "a", "bf16", tokens_per_s=[1000.0, 1010.0, 990.0], answers=answers)
    make_run(folder / "b", "int8_wo", tokens_per_s=[1200.0, 1212.0, 1188.0], answers=wrong)
    return folder


def test_it_says_how_they_differ(line: Line, study: Path) -> None:
    said = line("compare", study)
    assert (said.code, said.out) == (0, "")
    assert "int8_wo has 1.200 times the Offline tokens/s of bf16 (95 % interval" in said.err
    assert "int8_wo loses 50.00 points of ROUGE-1 against bf16 (95 % interval" in said.err
    assert "20 of 40 answers of int8_wo are those of bf16; the others part at token 0" in said.err
    assert said.err.count("missed: ROUGE-1") == 2  # at 99 % and at 99.9 %
    assert "engine.recipe.weights" in said.err
    assert "engine.limits" not in said.err  # the same in both
    assert "NOT LIKE WITH LIKE" not in said.err


def test_its_tables_fit_80_columns(
    line: Line, study: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.cli.output._PLAIN_WIDTH", 80)
    text = line("compare", study).err
    rows = text[text.index("Offline: means") :].splitlines()
    tables = rows[: next(n for n, row in enumerate(rows) if row.startswith("int8_wo has"))]
    assert max(map(len, tables)) <= 80
    assert "…" not in text


def test_the_share_of_the_limit_stands_beside_the_speed(line: Line, study: Path) -> None:
    """Of a run that knows its limits; nobody else has a column for it."""
    assert "of limit" not in line("compare", study).err
    whole = PartOfLimit.of("all", 400.0, 0.001, 0.0005)
    known = make_limits(whole)
    make_run(study / "c", "int4_wo", tokens_per_s=[400.0], limits=known)
    said = line("compare", study, "--json")
    table = said.err[said.err.index("Offline: means") :].splitlines()
    assert "of limit" in table[1]
    row = next(text for text in table if text.startswith("int4_wo"))
    assert row.endswith(" 40%")
    shares = [each["of_limit"] for each in said.document["candidates"]]
    assert shares == [{}, {}, {"Offline": pytest.approx(0.4)}]


def test_json_has_everything_as_numbers(line: Line, study: Path) -> None:
    said = line("compare", study, "--json", "--fail-on", "throughput:-3%,rouge1:-1%")
    assert said.code == 1
    document = said.document
    (pair,) = document["pairs"]
    (speed,) = [change for change in pair["changes"] if change["metric"] == "throughput"]
    assert speed["change_interval"]["low"] < 0.2 < speed["change_interval"]["high"]
    assert [check["failed"] for check in document["checks"]] == [False, True]
    assert len(pair["divergence"]["worst"]) == 20
    assert pair["divergence"]["worst"][0]["reference"] == references(1)[0]
    assert document["passed_over"] == []


def test_the_baseline_can_be_chosen(line: Line, study: Path) -> None:
    said = line("compare", study, "--baseline", "int8_wo", "--fail-on", "throughput:-3%")
    assert said.code == 1
    assert "bf16: Offline throughput (`throughput`) is -16.67 % against the base" in said.err
    assert "the limit is -3 %: FAILED" in said.err
    said = line("compare", study, "--baseline", "int8_wo")
    assert said.err.splitlines()[-1].endswith(f"report {study} --baseline int8_wo")
    assert line("report", study, "--baseline", "int8_wo", "--output", study / "r.html").code == 0
    assert "Unknown baseline `int9`" in line.refused(2, "compare", study, "--baseline", "int9")


@pytest.mark.parametrize("names", [("a", "c"), ("c", "a"), ("a", "a")])
def test_the_report_that_is_told_next_is_made(
    line: Line, study: Path, names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one configuration, by the name that a folder has in the table."""
    make_run(study / "c", "bf16", tokens_per_s=[990.0, 1000.0, 1010.0], answers=references(NUM))
    monkeypatch.chdir(study.parent)
    baseline = "a (2)" if names == ("a", "a") else "c"
    runs = [f"study/{name}" for name in names]
    said = line("compare", *runs, "--baseline", baseline)
    assert said.code == 0
    program, *words = shlex.split(said.err.splitlines()[-1].removeprefix("Next: "))
    assert (program, words) == ("enginebench", ["report", *runs, "--baseline", baseline])
    assert line(*words).code == 0


def test_several_scenarios_of_one_engine_are_one_candidate_of_a_report(
    line: Line, study: Path
) -> None:
    make_run(study / "c", "bf16", scenario=Scenario.SERVER, tokens_per_s=[500.0])
    page = study.parent / "r.html"
    assert line("report", study / "a", study / "c", "--output", page).code == 0
    text = page.read_text(encoding="utf-8")
    assert "no other speed is there to compare it with" in text


def test_the_report_after_simulated_runs_is_made(line: Line, study: Path) -> None:
    make_run(study / "c", "int4_wo", marks=("simulated", "short"))
    assert "add --simulated" in line.refused(2, "compare", study)
    said = line("compare", study, "--simulated")
    assert (
        "NOT LIKE WITH LIKE, int4_wo simulated cpu and bf16: int4_wo simulated cpu is simulated"
        in said.err
    )
    words = shlex.split(said.err.splitlines()[-1].removeprefix("Next: "))
    assert words == ["enginebench", "report", str(study), "--baseline", "bf16"]
    assert line(*words[1:], "--output", study.parent / "r.html").code == 0


def test_a_run_is_as_good_as_itself(line: Line, study: Path) -> None:
    limits = ("--fail-on", "throughput:-0%,rouge1:-0%,latency_p99:+0%,size:+0%")
    refused = line.refused(2, "compare", study / "a", study / "a", *limits)
    assert "do not both have latency p99 (`latency_p99`)" in refused
    said = line("compare", study / "a", study / "a", "--fail-on", "throughput:-0%,rouge1:-0%")
    assert said.code == 0
    assert "a (2) and a have the same Offline tokens/s." in said.err or "apart" in said.err
    assert "score the same in ROUGE-1 on each of 40 samples" in said.err


def test_the_answers_that_lose_most_are_shown(line: Line, study: Path) -> None:
    said = line("compare", study, "--show", "2")
    assert said.err.count("ROUGE-1 100.0 to 0.0, they part at token 0") == 2
    assert "\x1b" not in said.err


def test_csv_has_a_row_for_each_change(line: Line, study: Path, tmp_path: Path) -> None:
    printed = line("compare", study, "--csv", "-").out
    line("compare", study, "--csv", tmp_path / "changes.csv")
    assert (tmp_path / "changes.csv").read_text() == printed
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(printed))}
    assert float(rows["throughput"]["change"]) == pytest.approx(0.2)
    assert float(rows["rouge1"]["difference"]) == -50.0
    assert (rows["size"]["outcome"], rows["size"]["change_low"]) == ("equal", "")


def test_markdown_is_safe_to_paste(line: Line, study: Path) -> None:
    text = line("compare", study, "--markdown", "-", "--fail-on", "rouge1:-1%").out
    assert "- **FAILED** int8\\_wo: ROUGE-1" in text
    tables = [row for row in text.splitlines() if row.startswith("|")]
    counts = {row.replace("\\|", "").count("|") for row in tables if "No \\|" in row}
    assert counts == {6}
    assert "<b>" not in text and "\\<b\\>19\\</b\\>" in text


def test_what_is_invalid_is_said_before_the_numbers(line: Line, study: Path) -> None:
    make_run(study / "c", "int4_wo", broken="EOS check")
    said = line("compare", study, "--markdown", "-")
    told = "Offline of int4_wo is INVALID: EOS check: measured 3, the limit is 2; ask for less."
    assert f"NOTE: {told}" in said.err
    assert said.err.index(told) < said.err.index("Offline: means")
    assert f"- **NOTE** {told}".replace("_", "\\_") in said.out


def test_standard_output_takes_one_document(line: Line, study: Path) -> None:
    told = "can take one of --json, --csv - and --markdown -."
    assert told in line("compare", study, "--csv", "-", "--json").err
    assert told in line.refused(2, "compare", study, "--csv", "-", "--markdown", "-")


def test_a_file_that_cannot_be_written_is_said(line: Line, study: Path) -> None:
    assert "nowhere" in line.refused(3, "compare", study, "--csv", study / "nowhere" / "x.csv")


def test_what_was_passed_over_is_said_and_what_was_named_is_refused(
    line: Line, study: Path
) -> None:
    claim(study / "c", modes=()).ended("failed", "The engine died.")
    said = line("compare", study)
    assert said.code == 0
    assert "Passed over:" in said.err and "failed (The engine died)" in said.err
    assert "c holds a run that is failed" in line.refused(2, "compare", study, study / "c")


GATE = ("--fail-on", "throughput:-3%")


def test_a_gate_judges_nothing_while_a_run_is_broken(line: Line, study: Path) -> None:
    assert line("compare", study, *GATE).code == 0
    claim(study / "c", modes=()).ended("interrupted", "Stopped by the user.")
    refused = line("compare", study, *GATE)
    assert refused.code == 2
    assert "--fail-on judges nothing while a result is missing: " in refused.err
    assert "c holds a run that is interrupted (Stopped by the user); only" in refused.err
    assert line("compare", study / "a", study / "b", *GATE).code == 0
    edited = make_run(study / "d", "int4_wo")
    text = edited.folder.record.read_text().replace('"num_cpus": 64', '"num_cpus": 65')
    edited.folder.record.write_text(text)
    assert "(and 1 more)" in line("compare", study, *GATE).err
    assert line("compare", study).code == 0  # who only looks is told


@pytest.mark.parametrize(
    ("status", "told"),
    [("failed", "int4_wo, Offline failed: No room."), ("planned", "Still to be run: int4_wo")],
)
def test_a_gate_judges_nothing_while_a_point_of_a_study_is_missing(
    line: Line, study: Path, status: str, told: str
) -> None:
    point = Point.model_validate(
        {
            "engine": "int4_wo",
            "target": "cpu",
            "recipe": "int4_wo",
            "emulated": False,
            "scenario": "Offline",
            "repeat": 1,
            "status": status,
            "cause": "No room." if status == "failed" else None,
        }
    )
    StudyRecord(schema_version=1, command="c", started_utc="t", points=(point,)).write(study)
    for above in (study, study.parent):
        refused = line("compare", above, *GATE)
        assert refused.code == 2
        assert f"while a result is missing: {told}" in refused.err
    said = line("compare", study, "--json")
    assert said.code == 0 and said.document["passed_over"][0].startswith(told)
    assert line("compare", study / "a", study / "b", *GATE).code == 0


def test_a_gate_says_whom_it_cannot_judge(line: Line, study: Path) -> None:
    make_run(study / "e", "int8_sq", tokens_per_s=(), answers=references(NUM), marks=("emulated",))
    said = line("compare", study, "--baseline", "bf16", *GATE, "--json")
    assert said.code == 0
    assert [check["label"] for check in said.document["checks"]] == ["int8_wo"]
    (sentence,) = said.document["not_judged"]
    assert "is emulated, and has no throughput (`throughput`): not judged." in sentence
    assert sentence in said.err
    shown = line("compare", study, "--baseline", "bf16", *GATE, "--markdown", "-").out
    assert "- **MISSING** int8\\_sq" in shown


def test_runs_are_listed_and_filtered(line: Line, study: Path) -> None:
    claim(study / "c", modes=()).ended("failed", "The engine died.")
    said = line("runs", "list", study, "--json")
    assert said.code == 0
    found = {Path(run["folder"]).name: run for run in said.document["runs"]}
    assert found.keys() == {"a", "b", "c"}
    assert (found["a"]["recipe"], found["a"]["tokens_per_s"]) == ("bf16", 1000.0)
    assert (found["b"]["rouge1"], found["c"]["cause"]) == (50.0, "The engine died.")
    assert line("runs", "list", study).err.splitlines()[-1].endswith(f"compare {study}")


def test_an_emulated_run_is_listed_as_one(line: Line, tmp_path: Path) -> None:
    make_run(tmp_path / "a", tokens_per_s=(), answers=references(5), marks=("emulated", "short"))
    said = line("runs", "list", tmp_path, "--json")
    assert "bf16 emulated cpu" in said.err
    assert said.document["runs"][0]["recipe"] == "bf16"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (("--recipe", "int8_wo"), {"b"}),
        (("--status", "FAILED"), {"c"}),
        (("--scenario", "offline", "--status", "complete"), {"a", "b"}),
        (("--scenario", "Server"), set()),
        (("--workload", "newsbrief", "--target", "cpu"), {"a", "b"}),
        (("--since", "2026-03-01"), {"b"}),
        (("--since", "2026-02-01T00:00"), {"a", "b"}),
        (("--since", "2026-02-01T00:00:01Z"), {"b"}),
    ],
)
def test_filters_hold_together(
    line: Line, tmp_path: Path, options: tuple[str, ...], names: set[str]
) -> None:
    make_run(tmp_path / "results" / "a", "bf16", started_utc="2026-02-01T00:00:00+00:00")
    make_run(tmp_path / "results" / "b", "int8_wo", started_utc="2026-03-01T00:00:00+00:00")
    failed = claim(tmp_path / "results" / "c", modes=()).changed(
        started_utc="2026-01-01T00:00:00+00:00"
    )
    failed.ended("failed", "x")
    runs = line("runs", "list", *options, "--json").document["runs"]  # in `results`
    assert {Path(run["folder"]).name for run in runs} == names
    times = [run["started_utc"] for run in runs]
    assert times == sorted(times, reverse=True)


def test_a_folder_that_cannot_be_read_is_said(line: Line, study: Path) -> None:
    (study / "broken").mkdir()
    (study / "broken" / "run.json").write_text(json.dumps({"schema_version": 1}))
    said = line("runs", "list", study)
    assert said.code == 1
    assert "not read: " in said.err and "by an older enginebench" in said.err


def test_without_any_run_the_first_is_told(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether `results` was made before, or not."""
    monkeypatch.chdir(tmp_path)
    first = line("runs", "list")
    assert (first.code, "No run there fits." in first.err) == (0, True)
    assert "nowhere is no folder" in line.refused(2, "runs", "list", "nowhere")
    (tmp_path / "results" / "notes").mkdir(parents=True)
    again = line("runs", "list")
    assert (again.code, again.err) == (first.code, first.err)
    assert "results has no run in it" in line.refused(2, "runs", "list", "results")
    (tmp_path / "results" / "notes").rmdir()
    (tmp_path / "results").rmdir()
    (tmp_path / "results").write_text("")
    assert "results is no folder" in line.refused(2, "runs", "list")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--scenario", "Ofline"), r"Unknown scenario `Ofline`. Did you mean `Offline`?"),
        (("--status", "done"), "Unknown status `done`."),
        (("--since", "yesterday"), "--since yesterday is no time; write a day as in 2026-11-28"),
    ],
)
def test_a_filter_that_no_run_could_fit_is_refused(
    line: Line, study: Path, options: tuple[str, ...], told: str
) -> None:
    assert told in line.refused(2, "runs", "list", study, *options)


@pytest.mark.parametrize("option", ["--csv", "--markdown"])
@pytest.mark.parametrize("page", [".", "study", "study/a/table", "study/study.json"])
def test_a_page_takes_the_place_of_no_record(
    line: Line, study: Path, page: str, option: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(study.parent)
    assert f"{option} {page} " in line.refused(2, "compare", study, option, page)
    assert f"--output {page} " in line.refused(2, "report", study, "--output", page)


def test_a_filter_is_checked_where_nothing_was_run_yet(
    line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "Unknown status `foo`" in line.refused(2, "runs", "list", "--status", "foo")
    assert "--since then" in line.refused(2, "runs", "list", "--since", "then")


def test_a_run_whose_time_was_edited_is_named(line: Line, study: Path) -> None:
    make_run(study / "c", started_utc="yesterday")
    said = line("runs", "list", study, "--since", "2020-01-01")
    assert said.code == 1
    assert "run.json was edited: `started_utc` is no time" in said.err
    assert "2 runs" in said.err
