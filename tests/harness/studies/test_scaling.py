"""Scaling: its steps, what is asked in each, and what the figures are held against."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import EnvironmentFault, Interrupted, RunExists, UsageError
from harness.cli.options import words_of, words_on
from harness.cli.output import Output
from harness.cli.scaling import _show
from harness.loadgen.replicas import ReplicaLoads
from harness.progress import NullProgress, Progress
from harness.runs import replication
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice
from harness.runs.run import Run
from harness.studies import scaling as module
from harness.studies.scaling import ScalingChoice, read_scaling, run_scaling
from runtime.executor import HeadLoad, ReplicaLoad
from runtime.replicas.messages import Core, Nodes
from runtime.simulated import SimulatedSpec
from tests.harness.rehearsal import rehearse

ENGINE = EngineChoice(model="newsbrief", recipe="int8_wo")
LOAD = ReplicaLoad(1, "a (10.0.0.1)", "CPU 0", 8, 800, 80, 2.0, 0.001)
HEAD = HeadLoad(2.0, 0.1, 0.2, 0.1, 0.3, 0.4, 100)


def stand_in(monkeypatch: pytest.MonkeyPatch, elsewhere: Path, **changes: Any) -> list[Run]:
    """Simulated runs in place of those of an engine, each step twice as fast as the one before."""
    made: list[Run] = []

    def runs(engine: Any, choice: ScalingChoice, folder: Path, progress: Any) -> Iterator[Run]:
        for number, count in enumerate(choice.steps):
            spec = SimulatedSpec(num_tokens=5, samples_per_s=40.0 * 2**number)
            run = rehearse(elsewhere / str(count), spec=spec)
            loads = [replace(LOAD, number=n + 1, busy_s=2.0 - n) for n in range(min(count, 2))]
            after = ReplicaLoads(replicas=tuple(loads), head=HEAD)
            after.write(run.folder.test("performance").replicas)
            record = run.record.model_copy(update=changes)
            made.append(replace(run, record=record))
            yield made[-1]

    monkeypatch.setattr(module, "_runs", runs)
    cores(monkeypatch, 4)
    return made


def cores(monkeypatch: pytest.MonkeyPatch, num: int) -> None:
    """This machine has so many, and Ray is installed."""
    monkeypatch.setattr(replication, "own_cores", lambda: [Core(n, 0, n) for n in range(num)])
    monkeypatch.setattr(replication, "find_spec", lambda name: ModuleSpec(name, None))


def scale(
    folder: Path, replicas: str | None, progress: Progress | None = None, **more: Any
) -> module.ScalingRecord:
    choice = ScalingChoice(replicas=replicas, **more)
    return run_scaling(ENGINE, choice, folder, "enginebench scaling", progress or NullProgress())


def test_each_step_is_held_against_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = stand_in(monkeypatch, tmp_path)
    record = scale(tmp_path / "study", "4,2")
    first, second = record.steps
    assert (first.replicas, second.replicas) == (2, 4)
    assert first.efficiency == 1.0
    rates = [run.record.tests.performance.metrics for run in runs if run.record.tests.performance]
    assert [step.tokens_per_s for step in record.steps] == [
        metrics.tokens_per_s for metrics in rates if metrics
    ]
    assert second.tokens_per_s is not None and first.tokens_per_s is not None
    assert second.efficiency == second.tokens_per_s / first.tokens_per_s / 2
    assert second.told.dispatch_p99_s == 0.001
    assert second.head == HEAD
    assert second.saturates_at_tokens_per_s == pytest.approx(second.tokens_per_s / 0.2)
    assert second.bound == "requests"  # one replica was busy half of the time
    assert (tmp_path / "study" / "scaling.json").read_text().count('"replicas":') == 2
    _show(Output(as_json=False), record)
    said = capsys.readouterr().err
    assert "Efficiency is against one of 2 replicas." in said
    assert "100.0%" in said and "50% to 100%" in said
    assert "the head was busy 20.0% of the time at " in said
    assert read_scaling(tmp_path / "study") == record


def test_a_step_that_failed_has_no_figure_and_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tests = {"tests": module_tests(), "status": "failed", "cause": "replica 2 was lost"}
    stand_in(monkeypatch, tmp_path, **tests)
    (step,) = scale(tmp_path / "study", "1").steps
    assert (step.tokens_per_s, step.efficiency, step.cause) == (None, None, "replica 2 was lost")
    _show(Output(as_json=False), module.ScalingRecord(command="c", steps=(step,)))
    assert "1 replicas: failed: replica 2 was lost" in capsys.readouterr().err


def module_tests() -> Any:
    from harness.runs.record import TestRecords

    return TestRecords()


def test_an_interrupted_step_is_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = stand_in(monkeypatch, tmp_path, status="interrupted")
    with pytest.raises(Interrupted):
        scale(tmp_path / "study", "1,2")
    assert len(made) == 1


def test_a_folder_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunExists):
        scale(tmp_path, "1,2")


class Notes(NullProgress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("num_cores", "more", "steps", "notes"),
    [
        (8, {}, [1, 2, 4], []),
        (3, {}, [1, 2], ["There is room for no more: 1,2 of 1,2,4 replicas."]),
        (8, {"cores_per_replica": 4}, [1, 2], ["There is room for no more: 1,2 of 1,2,4 rep"]),
        (1, {}, [1], ["There is room for no more: 1 of 1,2,4 replicas."]),
    ],
)
def test_when_nobody_says_how_many_it_is_what_fits(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    num_cores: int,
    more: dict[str, Any],
    steps: list[int],
    notes: list[str],
) -> None:
    stand_in(monkeypatch, tmp_path)
    cores(monkeypatch, num_cores)
    progress = Notes()
    record = scale(tmp_path / "study", None, progress, **more)
    assert [step.replicas for step in record.steps] == steps
    assert [said[: len(note)] for said, note in zip(progress.notes, notes, strict=True)] == notes


@pytest.mark.parametrize(
    ("replicas", "more", "told"),
    [
        ("1,4,5", {}, "5 replicas take 5 cores, and this machine has 4; give fewer --replicas"),
        (None, {"cores_per_replica": 5}, "1 replica of 5 cores take 5 cores, and this machine"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_measured(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    replicas: str | None,
    more: dict[str, Any],
    told: str,
) -> None:
    made = stand_in(monkeypatch, tmp_path)
    with pytest.raises(EnvironmentFault) as caught:
        scale(tmp_path / "study", replicas, **more)
    assert str(caught.value).startswith(told)
    assert made == []
    assert not (tmp_path / "study").exists()


def test_what_is_wrong_with_the_last_step_is_told_before_the_first_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(monkeypatch, 4)
    measured: list[object] = []

    def request(self: RunChoice, *asked: object) -> object:
        if self.replicas == "2":
            raise UsageError("that cannot be")
        return self

    monkeypatch.setattr(RunChoice, "request", request)
    monkeypatch.setattr(module, "execute", lambda *asked: measured.append(asked))
    with pytest.raises(UsageError, match="that cannot be"):
        scale(tmp_path / "study", "1,2")
    assert measured == []


@pytest.mark.parametrize("words", ["auto", "1,x", "0", "0,1", "", "1,,2"])
def test_what_is_no_list_of_numbers_is_refused(words: str) -> None:
    with pytest.raises(UsageError, match="--replicas") as caught:
        _ = ScalingChoice(replicas=words).steps
    assert str(caught.value).endswith("; give a number from 1 to 1,024, or several: 1,2,4.")


def test_all_steps_have_the_same_cores_and_take_the_same_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores(monkeypatch, 8)
    choice = ScalingChoice(replicas="1, 4", count=10)
    for count in choice.steps:
        asked = choice.that_fits(on_gpu=False).run_choice(count, Path("run"))
        assert (asked.replicas, asked.ray_address, asked.cores_per_replica) == (
            str(count),
            "local",
            2,
        )
    far = replace(choice, ray_address="a:1")
    assert list(words_of(far)) == ["--replicas", "1, 4", "--count", "10", "--ray-address", "a:1"]
    changed = EngineChoice(model="m", recipe="bf16", set=("workload.max_new_tokens=8",))
    again = words_on(changed, far)
    at = again.index("--set")
    assert again[at : at + 2] == ["--set", "workload.max_new_tokens=8"]


@pytest.mark.parametrize(
    ("replicas", "given", "each"),
    [("1,2", None, 4), ("1,2,4", None, 2), (None, None, 2), ("1,2", 3, 3)],
)
def test_over_a_cluster_too_every_step_has_the_same_cores(
    monkeypatch: pytest.MonkeyPatch, replicas: str | None, given: int | None, each: int
) -> None:
    cores(monkeypatch, 64)  # of this machine, which do not matter
    there = Nodes(gpus=(0, 0), cpus=(8, 8), cores=(4, 4))
    monkeypatch.setattr(replication, "survey", lambda address, *, cores: there)
    choice = ScalingChoice(replicas=replicas, ray_address="a:1", cores_per_replica=given)
    fitting = choice.that_fits(on_gpu=False)
    for count in fitting.steps:
        asked = fitting.run_choice(count, Path("run"))
        assert (asked.ray_address, asked.cores_per_replica) == ("a:1", each)


def test_replicas_on_gpus_have_no_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    cores(monkeypatch, 4)
    there = Nodes(gpus=(1, 1), cpus=(8, 8))
    monkeypatch.setattr(replication, "survey", lambda address, *, cores: there)
    choice = ScalingChoice(replicas="1,2", ray_address="a:1").that_fits(on_gpu=True)
    assert choice.run_choice(2, Path("run")).cores_per_replica is None
