"""`sweep --dry-run` tells what would be done, and does nothing."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import EXIT_OK, EXIT_USAGE
from build_engine.roofline.peaks import Peaks
from harness.cli.main import run
from harness.cli.output import Output
from harness.cli.sweep import _show
from harness.report.candidate import candidates_of
from harness.report.compare import compare
from harness.report.result import Result
from harness.rules.scenario import Scenario
from harness.studies.record import Point, StudyRecord, read_study
from harness.studies.sweep import Sweep
from tests.harness.report.results import make_run

SWEEP = ["sweep", "--model", "newsbrief", "--repeats", "2", "--count", "4", "--dry-run"]


def plan_in(
    folder: Path, capsys: pytest.CaptureFixture[str], *more: str, recipes: str = "bf16,int8_wo"
) -> tuple[Any, str]:
    code = run([*SWEEP, "--recipes", recipes, "--json", "--output", str(folder), *more])
    out, err = capsys.readouterr()
    assert code == EXIT_OK, err
    return json.loads(out), err


def test_nothing_is_known_of_a_first_sweep(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, told = plan_in(tmp_path / "s", capsys)
    assert [(e["engine"], e["built"], e["num_left"], e["left_s"]) for e in plan["engines"]] == [
        ("bf16", False, 2, None),
        ("int8_wo", False, 2, None),
    ]
    assert len(plan["points"]) == 4
    assert "4 runs to do, in a time that no earlier run tells of" in told
    assert told.strip().splitlines()[-1].startswith("Next: ")
    assert "--dry-run" not in told.splitlines()[-1]
    assert not (tmp_path / "s").exists()


def test_a_first_sweep_takes_what_the_plans_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = Peaks({"bf16": 4e11, "fp32": 2e11}, 3e10, "a test")
    monkeypatch.setattr("harness.studies.foretold.known_peaks", lambda target: peaks)
    server = ("--scenarios", "Server", "--qps", "0.5")
    plan, told = plan_in(tmp_path / "s", capsys, *server)
    # twice four queries at that rate; the first time as many again at that of the warm-up
    assert all(16 < engine["left_s"] < 17 and engine["by_plan"] for engine in plan["engines"])
    assert "4 runs to do, in about 32 s by the plans of the engines (answers as long as" in told
    assert "beside builds, loading and warming up; " in told
    first, second = plan_in(tmp_path / "s", capsys, "--scenarios", "Offline")[0]["engines"]
    assert second["left_s"] > 0 and 0 < first["left_s"] < 16
    longer, _ = plan_in(tmp_path / "s", capsys, "--scenarios", "Offline", "--duration", "60")
    assert longer["engines"][0]["left_s"] > 120
    own = tmp_path / "own.jsonl"
    own.write_text('{"article": "A bridge opened.", "highlights": "It opened."}\n' * 9)
    words = ["sweep", "--model", "newsbrief", "--recipes", "bf16", "--dataset", str(own)]
    assert run([*words, "--dry-run", "--json"]) == EXIT_OK
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert engine["left_s"] is None  # nobody counted them


def test_a_size_is_that_of_the_backend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("--scenarios", "Offline", "--set", "workload.max_new_tokens=4")
    recipes = "bf16,int4_wo"
    before, _ = plan_in(tmp_path / "s", capsys, *asked, recipes=recipes)
    for recipe in recipes.split(","):
        model = ["--model", "newsbrief", "--recipe", recipe, "--max-new-tokens", "4"]
        assert run(["build", *model]) == EXIT_OK
    after, _ = plan_in(tmp_path / "s", capsys, *asked, recipes=recipes)
    for about, engine in zip(before["engines"], after["engines"], strict=True):
        assert (about["built"], engine["built"]) == (False, True)
        assert 0.8 < about["size_bytes"] / engine["size_bytes"] < 1.2


def test_a_point_without_its_run_is_not_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    point = Point(
        engine="bf16",
        target="cpu",
        recipe="bf16",
        emulated=False,
        scenario=Scenario.OFFLINE,
        repeat=1,
        status="complete",
        folder="gone",
    )
    StudyRecord(schema_version=1, command="c", started_utc="t", points=(point,)).write(tmp_path)
    plan, _ = plan_in(tmp_path, capsys)
    assert [engine["num_left"] for engine in plan["engines"]] == [2, 2]  # its run is not there


def test_only_what_a_sweep_would_take_up_is_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With other samples, afresh, or after an edit it is measured again."""
    folder = tmp_path / "a [bold] <b>"
    first = [*SWEEP[:3], "--recipes", "bf16"]
    more = ["--set", "workload.max_new_tokens=4", "--output", str(folder)]
    once = [*first, *more]
    assert run([*first, "--count", "4", *more]) == EXIT_OK
    told = capsys.readouterr().err
    assert told.splitlines()[-1].startswith("Then: open file:")  # one engine compares with nothing
    assert read_study(folder).command == shlex.join(["enginebench", *first, "--count", "4", *more])

    def num_left(*more: str) -> int:
        assert run([*once, "--dry-run", "--json", *more]) == EXIT_OK
        (engine,) = json.loads(capsys.readouterr().out)["engines"]
        assert engine["built"]
        return int(engine["num_left"])

    assert num_left("--count", "4") == 0
    assert num_left("--count", "4", "--repeats", "2") == 1
    assert num_left("--count", "5") == 1
    assert num_left("--count", "4", "--fresh") == 1
    (record,) = folder.glob("*/run.json")
    record.write_text(record.read_text().replace('"num_cpus": ', '"num_cpus": 1'))
    assert num_left("--count", "4") == 1


def test_an_engine_that_cannot_be_made_here_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without ModelOpt nothing is quantised as GPUs have it."""
    plan, told = plan_in(tmp_path / "s", capsys, "--emulate", "a30", recipes="int8_sq,bf16")
    problems = {engine["engine"]: engine["problem"] for engine in plan["engines"]}
    assert problems["bf16"] is None
    assert "nvidia-modelopt" in problems["int8_sq emulated a30"]
    assert "int8_sq emulated a30 will be recorded as failed" in told


def test_a_record_that_is_newer_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "study.json").write_text('{"schema_version": 7}')
    assert run([*SWEEP, "--output", str(tmp_path)]) == EXIT_USAGE
    assert "newer enginebench" in capsys.readouterr().err


def test_its_table_has_the_means_of_the_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A median of these would be 1,010."""
    runs = tuple(
        make_run(
            tmp_path / str(rate),
            tokens_per_s=[rate],
            latency={"ttft_p50_s": rate / 1e5, "ttft_p99_s": rate / 1e4},
        )
        for rate in (1000.0, 1010.0, 1300.0)
    )
    record = StudyRecord(schema_version=1, command="c", started_utc="t", points=())
    _show(Output(as_json=True), Sweep(tmp_path, record, (), {"bf16": runs}))
    out, err = capsys.readouterr()
    assert "1,095" in err and "1,000 to 1,300" in err and "11.0/109.5" in err
    assert "Figures of several tests are their geometric means, as in the report." in err
    (row,) = json.loads(out)["rows"]
    sides = candidates_of([Result.read(each.folder.path) for each in runs])
    (side,) = compare(sides, sides[0]).candidates
    shown = row["metrics"]
    for metric, value in (
        ("throughput", shown["tokens_per_s"]),
        ("ttft_p99", shown["ttft_p99_s"] * 1e3),
    ):
        figure = side.figure(metric, Scenario.OFFLINE)
        assert figure is not None
        assert figure.value == pytest.approx(value, rel=1e-12)
