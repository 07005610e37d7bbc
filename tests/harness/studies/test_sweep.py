"""The plan of a sweep, and what it makes of points that fail."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from build_engine.errors import (
    BuildFailed,
    EnginebenchError,
    EnvironmentFault,
    Interrupted,
    OutputError,
    RunFailed,
    UsageError,
)
from harness.progress import NullProgress
from harness.rules.scenario import Scenario
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.record import ProcessRecord
from harness.studies import sweep as sweep_module
from harness.studies.choice import SweepChoice
from harness.studies.forecast import forecast
from harness.studies.place import default_folder, forget_runs, held
from harness.studies.record import STUDY, Point, StudyRecord, read_study
from harness.studies.sweep import Sweep, SweepPlan, run_sweep
from harness.studies.turns import finished_run, take_turn
from tests.harness.report.results import make_run
from tests.harness.runs.claims import claim

TURN: Any = SimpleNamespace(folder_name="bf16-offline-0123456789ab")  # what is never reached


def nothing() -> None:
    """What a turn that begins tells nobody."""


def plan_of(**options: Any) -> SweepPlan:
    return SweepPlan.of(SweepChoice(model="newsbrief", count=4, **options), NullProgress())


def order(plan: SweepPlan) -> list[tuple[str, Scenario, int, str]]:
    return [
        (each.point.engine, each.point.scenario, each.point.repeat, each.mode)
        for each in plan.points
    ]


def test_engines_take_turns_and_are_scored_once() -> None:
    plan = plan_of(recipes="bf16,int8_wo", scenarios="Server,Offline", repeats=2)
    offline, server = Scenario.OFFLINE, Scenario.SERVER
    assert order(plan) == [
        ("bf16", offline, 1, "both"),
        ("int8_wo", offline, 1, "both"),
        ("bf16", server, 1, "performance"),
        ("int8_wo", server, 1, "performance"),
        ("bf16", offline, 2, "performance"),
        ("int8_wo", offline, 2, "performance"),
        ("bf16", server, 2, "performance"),
        ("int8_wo", server, 2, "performance"),
    ]


def test_an_emulated_engine_is_scored_and_no_more() -> None:
    plan = plan_of(recipes="bf16", scenarios="Server", qps=2.0, repeats=2, emulate="a30")
    assert order(plan)[-1] == ("bf16 emulated a30", Scenario.OFFLINE, 1, "accuracy")
    assert len(plan.points) == 3


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"repeats": 0}, "--repeats is 0; give 1 to 1,000"),
        ({"repeats": 10**25}, "give 1 to 1,000"),
        ({"scenarios": "Server"}, "give --qps, or add Offline"),
        ({"dataset": "nothing.jsonl"}, "nothing.jsonl"),
        ({"workload": "newsbrief", "set": ("workload.max_new=3",)}, "max_new"),
        ({"qps": -1.0, "scenarios": "Server"}, "--qps is -1"),
    ],
)
def test_what_can_be_refused_is_refused_first(options: dict[str, Any], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        plan_of(recipes="bf16", **options)


def test_a_target_that_is_not_here_is_no_sweep() -> None:
    with pytest.raises(EnvironmentFault):
        plan_of(recipes="bf16,int8_wo", target="a30")


def failing(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, EnginebenchError | None]
) -> list[tuple[str, Scenario]]:
    """Engines are not built, and their runs end so; what was tried."""
    tried: list[tuple[str, Scenario]] = []

    def build(choice: EngineChoice, *_: object) -> str:
        if choice.recipe == "int4_wo":
            raise BuildFailed("The compiler had no mood.")
        return choice.recipe

    def measure(_: object, planned: Any, engine: str, number: int) -> Point:
        tried.append((engine, planned.point.scenario))
        if error := errors.get(engine):
            raise error
        point: Point = planned.point
        return point.model_copy(update={"status": "complete", "folder": f"run-{number}"})

    monkeypatch.setattr(EngineChoice, "build_for_runs", build)
    monkeypatch.setattr(sweep_module._Sweeping, "_measure", measure)
    return tried


def swept(folder: Path, **options: Any) -> Sweep:
    return run_sweep(plan_of(**options), folder, "the command", NullProgress())


def test_a_point_that_fails_is_recorded_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = failing(monkeypatch, {"bf16": RunFailed("It died.")})
    done = swept(tmp_path / "s", recipes="bf16,int4_wo,int8_wo", repeats=2)
    assert tried == [(name, Scenario.OFFLINE) for name in ("bf16", "int8_wo")] * 2
    assert {(point.engine, point.cause) for point in done.failed} == {
        ("bf16", "It died."),
        ("int4_wo", "The compiler had no mood."),
    }
    assert read_study(tmp_path / "s") == done.record
    assert [point.status for point in done.record.points] == ["failed", "failed", "complete"] * 2


@pytest.mark.parametrize("error", [OutputError("The disk is full."), Interrupted("Stop.")])
def test_what_all_points_would_meet_ends_the_sweep(
    error: EnginebenchError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = failing(monkeypatch, {"int8_wo": error})
    with pytest.raises(type(error)):
        swept(tmp_path / "s", recipes="bf16,int8_wo", repeats=3)
    assert len(tried) == 2
    statuses = [point.status for point in read_study(tmp_path / "s").points]
    assert statuses == ["complete", *["planned"] * 5]


def test_another_sweep_adds_to_a_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, {})
    swept(tmp_path / "s", recipes="bf16")
    done = swept(tmp_path / "s", recipes="int8_wo,bf16", repeats=1)
    assert [point.engine for point in done.record.points] == ["int8_wo", "bf16"]
    done = swept(tmp_path / "s", recipes="int4_wo")
    assert [point.engine for point in done.record.points] == ["int8_wo", "bf16", "int4_wo"]


def test_what_failed_in_an_earlier_sweep_is_no_failure_of_this_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {})
    assert swept(tmp_path / "s", recipes="bf16,int4_wo").failed
    done = swept(tmp_path / "s", recipes="bf16")
    assert done.failed == ()
    assert [point.engine for point in done.record.points] == ["int4_wo", "bf16"]


def test_one_command_at_a_time_writes_to_a_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {})
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with held(tmp_path / "s"):
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=hold)
    thread.start()
    assert inside.wait(20)
    with pytest.raises(UsageError, match="Another command is at work"):
        swept(tmp_path / "s", recipes="bf16")
    leave.set()
    thread.join()
    swept(tmp_path / "s", recipes="bf16")


@pytest.mark.parametrize("content", ["[]", "{", '{"schema_version": 99}'])
def test_a_record_that_cannot_be_read_is_refused(content: str, tmp_path: Path) -> None:
    (tmp_path / STUDY).write_text(content)
    with pytest.raises(UsageError, match=STUDY):
        swept(tmp_path, recipes="bf16")


def swept_model(model: str, folder: Path) -> Sweep:
    plan = SweepPlan.of(SweepChoice(model=model, count=4, recipes="bf16"), NullProgress())
    return run_sweep(plan, folder, "the command", NullProgress())


def test_another_model_of_the_same_last_name_takes_no_ones_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, {})
    monkeypatch.chdir(tmp_path)
    for place in ("a", "b"):
        (tmp_path / place / "llama").mkdir(parents=True)
    folder = default_folder("sweep", "a/llama")
    assert folder == default_folder("sweep", "b/llama")
    first = swept_model("a/llama", folder).record
    assert first.model == str(tmp_path / "a" / "llama")
    last = swept_model(str(tmp_path / "a" / "llama"), folder).record
    assert last.model == first.model
    for other in ("b/llama", "newsbrief"):
        with pytest.raises(UsageError, match=r"a study of another model, .*a/llama; give"):
            swept_model(other, folder)
        plan = SweepPlan.of(SweepChoice(model=other, count=4, recipes="bf16"), NullProgress())
        with pytest.raises(UsageError, match="of another model"):
            forecast(plan, folder, NullProgress())
    assert read_study(folder) == last


@pytest.mark.parametrize("kind", ["file", "link to a folder", "link to a run", "dangling link"])
def test_what_is_no_run_of_a_study_is_never_removed(tmp_path: Path, kind: str) -> None:
    study, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    place = study / TURN.folder_name
    study.mkdir()
    if kind == "file":
        place.write_text("mine")
    else:
        place.symlink_to(elsewhere)
    if kind == "link to a folder":
        elsewhere.mkdir()
        (elsewhere / "mine").write_text("mine")
    if kind == "link to a run":
        make_run(elsewhere)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    for fresh in (False, True):
        if fresh:
            forget_runs(study)
        with pytest.raises(UsageError, match=r"a run of this study belongs there; move it away"):
            take_turn(study, TURN, "title", NullProgress(), nothing)
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before
    if kind != "file":
        assert finished_run(place) is None


def test_a_run_that_another_host_left_behind_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever holds the study knows that nobody else works in it."""
    place = tmp_path / TURN.folder_name
    killed = claim(place)
    elsewhere = ProcessRecord(host="deadbeef0123", pid=7, started_s=1.0)
    killed.changed(process=elsewhere)
    monkeypatch.setattr(RunChoice, "request_on", lambda *_: None)
    monkeypatch.setattr("harness.studies.turns.execute", lambda *_: make_run(place))
    turn: Any = SimpleNamespace(
        folder_name=TURN.folder_name,
        choice=RunChoice(scenario="Offline"),
        engine=None,
        dataset=None,
        workload_settings=(),
    )
    run = take_turn(tmp_path, turn, "title", NullProgress(), nothing)
    assert run.record.status == "complete"
    assert take_turn(tmp_path, turn, "title", NullProgress(), nothing) == run


def test_a_leftover_that_cannot_be_cleared_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / TURN.folder_name / "performance").mkdir(parents=True)

    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr("harness.studies.place.shutil.rmtree", refuse)
    with pytest.raises(OutputError, match=r"Cannot write to .*Permission denied"):
        take_turn(tmp_path, TURN, "title", NullProgress(), nothing)


def test_the_folder_of_a_run_is_no_place_for_a_study(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UsageError, match="is the folder of one run"):
        swept(tmp_path, recipes="bf16")


def test_the_record_is_what_was_written(tmp_path: Path) -> None:
    point = Point(
        engine="bf16",
        target="cpu",
        recipe="bf16",
        emulated=False,
        scenario=Scenario.OFFLINE,
        repeat=1,
    )
    record = StudyRecord(schema_version=1, command="c", started_utc="now", points=(point,))
    record.write(tmp_path)
    assert read_study(tmp_path) == record
    assert json.loads((tmp_path / STUDY).read_text())["points"][0]["status"] == "planned"
