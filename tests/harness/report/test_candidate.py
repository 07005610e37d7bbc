"""Which runs are repeats of one thing, and what the things are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.report.candidate import candidates_of, each_alone
from harness.report.find import find_runs
from harness.rules.scenario import Scenario
from runtime.openvino.spec import OpenVINOSpec
from tests.build_engine.manifests import make_manifest, resealed
from tests.harness.dataset.records import make_record
from tests.harness.report.results import make_result, make_run
from tests.harness.runs.claims import MACHINE


def test_runs_of_one_engine_are_one_candidate_with_its_scenarios(tmp_path: Path) -> None:
    offline = [
        make_result(tmp_path / f"offline-{n}", tokens_per_s=(100.0 + n, 200.0 + n))
        for n in range(2)
    ]
    server = make_result(
        tmp_path / "server",
        scenario=Scenario.SERVER,
        qps=3.0,
        num_samples=7,
        dataset=make_record(7, digest="7" * 64),
    )
    (one,) = candidates_of([*offline, server])
    assert one.label == "bf16"
    assert one.scenarios == {Scenario.OFFLINE: tuple(offline), Scenario.SERVER: (server,)}
    rates = [each.tokens_per_s for each in one.metrics(Scenario.OFFLINE)]
    assert rates == [100.0, 200.0, 101.0, 201.0]
    assert one.metrics(Scenario.SINGLE_STREAM) == ()


def test_a_run_without_a_performance_test_joins_those_of_its_samples(tmp_path: Path) -> None:
    scored = make_result(tmp_path / "accuracy", tokens_per_s=(), answers=["Rain."] * 5)
    fast = make_result(tmp_path / "fast")
    (one,) = candidates_of([fast, scored])
    assert one.scored == scored
    assert one.accuracy is not None and one.accuracy.scores.gen_num == 5
    assert (one.first, len(one.metrics(Scenario.OFFLINE))) == (fast, 1)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({"recipe": "int8_wo"}, ["bf16", "int8_wo"]),
        (
            {"executor": OpenVINOSpec(folder=Path("/engines/bf16"), num_threads=4)},
            ["bf16 (num_threads null)", "bf16 (num_threads 4)"],
        ),
        ({"machine": MACHINE.model_copy(update={"num_cpus": 8})}, ["64", "8"]),
        (
            {"engine": resealed(make_manifest("bf16"), checkpoint="d" * 64)},
            ["checkpoint cccccccccccc", "checkpoint dddddddddddd"],
        ),
        ({"dataset": make_record(5, digest="8" * 64)}, ["digest 000000000000", "888888888888"]),
    ],
)
def test_what_differs_makes_another_candidate_and_its_label(
    tmp_path: Path, changes: dict[str, object], labels: list[str]
) -> None:
    first = make_result(tmp_path / "a")
    other = make_result(tmp_path / "b", **changes)  # type: ignore[arg-type]
    found = candidates_of([first, other])
    assert len(found) == 2
    for candidate, words in zip(found, labels, strict=True):
        assert candidate.label.startswith(candidate.recipe) and words in candidate.label


def test_another_rate_is_another_question(tmp_path: Path) -> None:
    runs = [
        make_result(tmp_path / str(qps), scenario=Scenario.SERVER, qps=qps)
        for qps in (2.0, 3.0, 2.5)
    ]
    labels = [candidate.label for candidate in candidates_of(runs)]
    assert labels == [f"bf16 (target_qps {qps})" for qps in (2.0, 3.0, 2.5)]
    offline = [make_result(tmp_path / f"o{qps}", qps=qps) for qps in (2.0, 3.0)]
    assert len(candidates_of(offline)) == 1  # there it only sizes the test


def test_folders_that_were_named_apart_stay_apart(tmp_path: Path) -> None:
    for study in ("main", "branch"):
        for number in range(2):
            make_run(tmp_path / study / f"run-{number}")
    apart = candidates_of(find_runs([tmp_path / "main", tmp_path / "branch"]).results)
    assert [(each.label, len(each.results)) for each in apart] == [
        (f"bf16 ({tmp_path / 'main'})", 2),
        (f"bf16 ({tmp_path / 'branch'})", 2),
    ]
    each = [tmp_path / "main" / "run-0", tmp_path / "branch" / "run-0"]
    (one,) = candidates_of(find_runs(each).results)
    assert len(one.results) == 2


def test_alone_each_is_called_by_its_folder(tmp_path: Path) -> None:
    runs = [make_result(tmp_path / name) for name in ("a/run", "b/run", "c")]
    labels = [candidate.label for candidate in each_alone(runs)]
    assert labels == [str(tmp_path / "a/run"), str(tmp_path / "b/run"), "c"]


def test_an_emulation_is_never_called_like_the_engine_it_stands_for(tmp_path: Path) -> None:
    answers = ["Rain."] * 5
    runs = [
        make_result(tmp_path / name, tokens_per_s=(), answers=answers, marks=("emulated", "short"))
        for name in ("a", "b")
    ]
    (alone,) = candidates_of(runs[:1])
    assert (alone.label, alone.recipe) == ("bf16 emulated cpu", "bf16")
    other = resealed(make_manifest("bf16"), checkpoint="d" * 64)
    measured = make_result(tmp_path / "c", engine=other)
    labels = [each.label for each in candidates_of([measured, runs[0]])]
    assert labels == ["bf16", "bf16 emulated cpu"]
    labels = [each.label for each in each_alone(runs)]
    assert labels == ["a, bf16 emulated cpu", "b, bf16 emulated cpu"]
