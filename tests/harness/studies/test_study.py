"""A study that goes on: what it keeps, what it makes anew, and what counts in the end."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest

from build_engine.errors import BuildFailed, Interrupted, UsageError
from harness.progress import NullProgress
from harness.report.candidate import candidates_of
from harness.report.find import find_runs
from harness.report.html.report import write_report
from harness.rules.scenario import Scenario
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.studies.choice import SweepChoice
from harness.studies.digests import engine_digest
from harness.studies.forecast import forecast, num_left
from harness.studies.record import STUDY, StudyRecord, earlier_study, read_study
from harness.studies.sweep import Sweep, SweepPlan, run_sweep
from tests.harness.report.results import make_run
from tests.harness.runs.claims import claim

BOTH = "Offline,Server"


class Machine:
    """Engines and runs that take no time. `speed` is that of each recipe in tokens a second, and
    `stop` what happens once so many runs were made.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.speed = {"bf16": 1000.0, "int8_wo": 1400.0}
        self.failing: set[str] = set()
        self.made: list[str] = []
        self.stop_after = 1000
        self.stop_builds = False
        self.unbuildable: set[str] = set()
        patch.setattr(EngineChoice, "build_for_runs", lambda choice, *_: self._build(choice))
        patch.setattr(RunChoice, "prepared", lambda choice, *_: self._dataset(choice))
        patch.setattr(RunChoice, "request_on", lambda choice, engine, *_: (choice, engine))
        patch.setattr("harness.studies.turns.execute", self._execute)

    def sweep(self, folder: Path, *, fresh: bool = False, **options: Any) -> Sweep:
        """A sweep of both recipes, and which of its runs were made."""
        self.made.clear()
        asked = {"recipes": "bf16,int8_wo", "count": 4, **options}
        plan = SweepPlan.of(SweepChoice(model="newsbrief", **asked), NullProgress())
        return run_sweep(plan, folder, "enginebench sweep", NullProgress(), fresh=fresh)

    def _build(self, choice: EngineChoice) -> Any:
        if self.stop_builds:
            raise KeyboardInterrupt
        if choice.recipe in self.unbuildable:
            raise BuildFailed("The disk is gone.")
        return SimpleNamespace(key=engine_digest(choice), recipe=choice.recipe)

    def _dataset(self, choice: RunChoice) -> Any:
        record = SimpleNamespace(own_set=False)
        return SimpleNamespace(digest="d", num_samples=choice.count, record=record)

    def _execute(self, request: tuple[RunChoice, Any], *_: object) -> Any:
        choice, engine = request
        if len(self.made) >= self.stop_after:
            raise KeyboardInterrupt
        assert choice.output is not None
        self.made.append(f"{engine.recipe} {choice.scenario} {choice.qps or ''}".strip())
        if engine.recipe in self.failing:
            return claim(choice.output).ended("failed", "It died.")
        return make_run(
            choice.output,
            engine.recipe,
            scenario=Scenario(choice.scenario),
            tokens_per_s=(self.speed[engine.recipe],),
            qps=choice.qps,
        )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(monkeypatch)


def counted(folder: Path) -> list[str]:
    """The candidates in a report of the study, each with the number of its runs."""
    return sorted(
        f"{each.label}: "
        + ", ".join(f"{scenario} {len(runs)}" for scenario, runs in sorted(each.scenarios.items()))
        for each in candidates_of(find_runs([folder]).results)
    )


WHOLE = ["bf16: Offline 1, Server 1", "int8_wo: Offline 1, Server 1"]


def test_a_study_begun_afresh_forgets_what_it_measured(machine: Machine, tmp_path: Path) -> None:
    """Another Server rate would else leave the old runs as candidates of their own."""
    machine.sweep(tmp_path, scenarios=BOTH)
    assert machine.made[2:] == ["bf16 Server 50.0", "int8_wo Server 50.0"]
    first = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    (tmp_path / "notes").mkdir()
    machine.speed["bf16"] = 1100.0
    machine.sweep(tmp_path, scenarios=BOTH, fresh=True)
    assert machine.made[2:] == ["bf16 Server 55.0", "int8_wo Server 55.0"]
    there = {path.name for path in tmp_path.iterdir() if path.is_dir()}
    assert len(there) == 5 and "notes" in there
    assert len(there & first) == 2  # Offline, which is asked as before
    assert counted(tmp_path) == WHOLE


def test_what_is_begun_afresh_is_a_study_and_runs_alone_are_removed(
    machine: Machine, tmp_path: Path
) -> None:
    named_alike = tmp_path / "logs-server-202607011200"
    named_alike.mkdir()
    (named_alike / "my.log").touch()
    make_run(tmp_path / "x-offline-0123456789ab", "bf16", tokens_per_s=[1.0])
    machine.sweep(tmp_path, fresh=True)  # no study was here
    assert (tmp_path / "x-offline-0123456789ab" / "run.json").is_file()
    machine.sweep(tmp_path, fresh=True)
    assert not (tmp_path / "x-offline-0123456789ab").exists()
    assert (named_alike / "my.log").is_file()


def test_an_engine_that_cannot_be_had_again_erases_no_result(
    machine: Machine, tmp_path: Path
) -> None:
    machine.sweep(tmp_path, scenarios=BOTH)
    machine.unbuildable = {"int8_wo"}
    done = machine.sweep(tmp_path, scenarios=BOTH)
    assert machine.made == []
    assert [(point.engine, point.cause) for point in done.failed] == [
        ("int8_wo", "The disk is gone."),
        ("int8_wo", "The disk is gone."),
    ]
    assert all(point.status == "complete" for point in read_study(tmp_path).points)
    assert counted(tmp_path) == WHOLE


def test_the_rate_is_chosen_once(machine: Machine, tmp_path: Path) -> None:
    """An engine that failed, and works when it is tried again, changes it for nobody."""
    machine.failing = {"bf16"}
    assert len(machine.sweep(tmp_path, scenarios=BOTH).failed) == 2
    assert machine.made == ["bf16 Offline", "int8_wo Offline"] + [
        f"{recipe} Server 70.0" for recipe in ("bf16", "int8_wo")
    ]
    machine.failing = set()
    machine.sweep(tmp_path, scenarios=BOTH)
    assert machine.made == ["bf16 Offline", "bf16 Server 70.0"]
    assert counted(tmp_path) == WHOLE
    machine.sweep(tmp_path, scenarios=BOTH, qps=5.0)
    assert machine.made == ["bf16 Server 5.0", "int8_wo Server 5.0"]
    machine.sweep(tmp_path, scenarios=BOTH)  # and it is not forgotten meanwhile
    assert machine.made == []


def test_another_workload_has_a_rate_of_its_own(machine: Machine, tmp_path: Path) -> None:
    machine.sweep(tmp_path, scenarios=BOTH)
    machine.speed["bf16"] = 500.0
    machine.sweep(tmp_path, scenarios=BOTH, set=("workload.max_new_tokens=7",))
    assert machine.made[2:] == ["bf16 Server 25.0", "int8_wo Server 25.0"]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"scenarios": "Server", "qps": 5.0}, {"scenarios": BOTH}),
        ({"scenarios": BOTH, "count": 3}, {"scenarios": BOTH}),
        ({"scenarios": BOTH, "duration_s": 1.0}, {"scenarios": BOTH}),
    ],
)
def test_what_was_asked_otherwise_before_is_no_result_any_more(
    machine: Machine, tmp_path: Path, first: dict[str, Any], second: dict[str, Any]
) -> None:
    machine.sweep(tmp_path, **first)
    num_first = len(machine.made)
    machine.sweep(tmp_path, **second)
    assert len(machine.made) == 4
    assert len([*tmp_path.glob("*/run.json")]) == num_first + 4
    assert counted(tmp_path) == WHOLE
    machine.sweep(tmp_path, **first)
    assert machine.made == []  # though not lost


def test_other_libraries_take_the_place_of_earlier_ones(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sweep(tmp_path, scenarios=BOTH)
    for module in ("turns", "digests"):
        monkeypatch.setattr(f"harness.studies.{module}.library_versions", lambda: {"a": "2"})
    machine.stop_builds = True
    with pytest.raises(Interrupted):
        machine.sweep(tmp_path, scenarios=BOTH)
    assert {point.status for point in read_study(tmp_path).points} == {"planned"}
    told = r"no run that counts: no study\.json there names one\. Go on with: enginebench sweep$"
    with pytest.raises(UsageError, match=told):
        write_report([tmp_path], tmp_path / "report.html")
    machine.stop_builds = False
    machine.sweep(tmp_path, scenarios=BOTH)
    assert len(machine.made) == 4
    assert counted(tmp_path) == WHOLE


def test_a_run_that_is_named_itself_always_counts(machine: Machine, tmp_path: Path) -> None:
    machine.sweep(tmp_path, recipes="bf16")
    (old,) = tmp_path.glob("*/run.json")
    machine.sweep(tmp_path, recipes="bf16", count=5)
    assert [result.folder for result in find_runs([old.parent]).results] == [old.parent]
    make_run(tmp_path / "mine", "bf16")
    assert old.parent not in {result.folder for result in find_runs([tmp_path]).results}
    assert len(find_runs([tmp_path]).results) == 2
    assert len(find_runs([tmp_path, old.parent]).results) == 3


def test_what_is_known_stays_known_until_it_is_known_otherwise(
    machine: Machine, tmp_path: Path
) -> None:
    """Stopped while the engines are looked at, a finished study is still finished."""
    machine.sweep(tmp_path)
    done = read_study(tmp_path)
    machine.stop_builds = True
    with pytest.raises(Interrupted):
        machine.sweep(tmp_path)
    assert read_study(tmp_path).points == done.points
    machine.stop_builds, machine.stop_after = False, 0
    edited = tmp_path / str(done.points[1].folder) / "run.json"
    edited.write_text(edited.read_text().replace('"num_cpus": 64', '"num_cpus": 65'))
    with pytest.raises(Interrupted):
        machine.sweep(tmp_path)
    assert [point.status for point in read_study(tmp_path).points] == ["complete", "planned"]


def test_other_limits_add_engines(machine: Machine, tmp_path: Path) -> None:
    machine.sweep(tmp_path, recipes="bf16", max_batch_sizes="8")
    machine.sweep(tmp_path, recipes="bf16", max_batch_sizes="64")
    machine.sweep(tmp_path, recipes="bf16", set=("recipe.kv_cache=int8",))
    points = read_study(tmp_path).points
    assert [(point.engine, point.status) for point in points] == [("bf16", "complete")] * 3
    assert len({point.folder for point in points}) == 3
    machine.sweep(tmp_path, recipes="bf16", max_batch_sizes="8,16")  # told apart by them now
    assert len(machine.made) == 1
    assert len(read_study(tmp_path).points) == 4


def test_a_failure_is_forgotten_once_its_cause_is_mended(machine: Machine, tmp_path: Path) -> None:
    machine.failing = {"bf16"}
    machine.sweep(tmp_path, max_batch_sizes="512")
    machine.failing = set()
    machine.sweep(tmp_path, recipes="bf16", max_batch_sizes="64")
    points = read_study(tmp_path).points
    assert [(point.engine, point.status) for point in points] == [
        ("int8_wo", "complete"),
        ("bf16", "complete"),
    ]


def test_what_was_left_behind_is_taken_up_again_as_foretold(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sweep(tmp_path, count=3)
    machine.sweep(tmp_path)

    def known(choice: EngineChoice, *_: object) -> Any:
        return SimpleNamespace(key=engine_digest(choice), size_bytes=1)

    monkeypatch.setattr(EngineChoice, "spec", known)
    monkeypatch.setattr("harness.studies.forecast.EngineStore.find", lambda _, spec: spec)
    for count, left in ((3, 0), (4, 0), (5, 2)):
        choice = SweepChoice(model="newsbrief", recipes="bf16,int8_wo", count=count)
        plan = SweepPlan.of(choice, NullProgress())
        assert num_left(forecast(plan, tmp_path, NullProgress())) == left


def test_a_fresh_sweep_that_is_stopped_goes_on_without_old_results(
    machine: Machine, tmp_path: Path
) -> None:
    machine.sweep(tmp_path)
    machine.stop_after = 1
    told = r"^Interrupted; the same command without --fresh goes on where it was, .*complete in "
    with pytest.raises(Interrupted, match=told) as stopped:
        machine.sweep(tmp_path, fresh=True)
    assert stopped.value.again == ("sweep",)
    assert [point.status for point in read_study(tmp_path).points] == ["complete", "planned"]
    machine.stop_after = 1000
    machine.sweep(tmp_path)
    assert machine.made == ["int8_wo Offline"]


@pytest.mark.parametrize("step", ["place.sync", "study.StudyRecord.write", "place.shutil.rmtree"])
def test_what_a_stopped_fresh_sweep_has_not_yet_removed_counts_no_more(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    machine.sweep(tmp_path, scenarios=BOTH)
    old = {path.parent.name: path.read_bytes() for path in tmp_path.glob("*/run.json")}

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(f"harness.studies.{step}", stop)
        with pytest.raises(Interrupted, match="the same command without --fresh goes on"):
            machine.sweep(tmp_path, scenarios=BOTH, fresh=True)
    assert machine.made == []
    assert len([*tmp_path.glob("*/run.json")]) >= 3
    machine.speed["bf16"] = 1100.0
    machine.stop_after = 1
    with pytest.raises(Interrupted):
        machine.sweep(tmp_path, scenarios=BOTH)
    (new,) = tmp_path.glob("*/run.json")
    assert new.read_bytes() != old[new.parent.name]
    machine.stop_after = 1000
    machine.sweep(tmp_path, scenarios=BOTH)
    assert machine.made == ["int8_wo Offline", "bf16 Server 55.0", "int8_wo Server 55.0"]
    assert counted(tmp_path) == WHOLE
    assert len([path for path in tmp_path.iterdir() if path.is_dir()]) == 4


def test_a_stopped_fresh_sweep_has_all_to_do(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.sweep(tmp_path)

    def stop(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("harness.studies.place.clear", stop)
        with pytest.raises(Interrupted):
            machine.sweep(tmp_path, fresh=True)

    def known(choice: EngineChoice, *_: object) -> Any:
        return SimpleNamespace(key=engine_digest(choice), size_bytes=1)

    monkeypatch.setattr(EngineChoice, "spec", known)
    monkeypatch.setattr("harness.studies.forecast.EngineStore.find", lambda _, spec: spec)
    choice = SweepChoice(model="newsbrief", recipes="bf16,int8_wo", count=4)
    plan = SweepPlan.of(choice, NullProgress())
    assert num_left(forecast(plan, tmp_path, NullProgress())) == 2


def test_a_record_of_before_there_were_digests_is_read(machine: Machine, tmp_path: Path) -> None:
    machine.sweep(tmp_path, scenarios=BOTH)
    record = json.loads((tmp_path / STUDY).read_text())
    del record["rate"]
    for point in record["points"]:
        del point["engine_digest"], point["run_digest"]
    (tmp_path / STUDY).write_text(json.dumps(record))
    earlier = earlier_study(tmp_path)
    assert isinstance(earlier, StudyRecord) and earlier.to_json() == record
    machine.sweep(tmp_path, recipes="int8_wo", scenarios=BOTH)
    points = read_study(tmp_path).points
    assert [point.engine for point in points] == ["bf16", "bf16", "int8_wo", "int8_wo"]
