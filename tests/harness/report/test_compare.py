"""What a comparison says of runs whose figures are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import UsageError
from harness.report.candidate import Candidate, candidates_of
from harness.report.compare import compare
from harness.report.comparison import Comparison
from harness.rules.scenario import Scenario
from harness.rules.workload import load_workload
from harness.runs.record import AccuracyRecord
from harness.scoring.accuracy import check_gates
from tests.harness.report.results import make_result, references
from tests.harness.runs.claims import MACHINE

OFFLINE = Scenario.OFFLINE


def compared(*results: Any) -> Comparison:
    candidates = candidates_of(results)
    return compare(candidates, candidates[0])


def test_one_test_each_is_told_without_a_claim(tmp_path: Path) -> None:
    found = compared(
        make_result(tmp_path / "a", tokens_per_s=[1000.0]),
        make_result(tmp_path / "b", "int8_wo", tokens_per_s=[1200.0]),
    )
    (pair,) = found.pairs
    change = pair.change("throughput", OFFLINE)
    assert change is not None
    assert (change.baseline, change.other, change.change_interval) == (1000.0, 1200.0, None)
    assert change.change == pytest.approx(0.2)
    assert change.outcome == "not known"
    assert pair.sentences == (
        "int8_wo has 1.200 times the Offline tokens/s of bf16, but 1 and 1 tests say nothing of "
        "noise: repeat both (--repeat 3, or better in turns) to learn whether that is a "
        "difference.",
    )


def test_repeats_give_an_interval_and_a_claim_or_none(tmp_path: Path) -> None:
    found = compared(
        make_result(tmp_path / "a", tokens_per_s=[1000.0, 1010.0, 990.0]),
        make_result(tmp_path / "b", "int8_wo", tokens_per_s=[1200.0, 1210.0, 1190.0]),
        make_result(tmp_path / "c", "int4_wo", tokens_per_s=[1010.0, 985.0, 1015.0]),
    )
    faster, same = found.pairs
    change = faster.change("throughput", OFFLINE)
    assert change is not None and change.change_interval is not None
    assert change.change_interval.low < 0.2 < change.change_interval.high
    assert (change.outcome, change.counts) == ("better", (3, 3))
    assert "95 % interval 1.1" in faster.sentences[0]
    assert same.sentences[0].startswith("The data cannot tell int4_wo and bf16 apart in Offline")


def test_runs_that_took_turns_are_compared_in_pairs(tmp_path: Path) -> None:
    """The machine slowed down by half meanwhile, and both alike."""
    rates = {"bf16": [1000.0, 700.0, 500.0], "int8_wo": [1100.0, 772.0, 549.0]}
    for order, outcome in (("ABABAB", "better"), ("AAABBB", "not told apart")):
        names = ["bf16" if letter == "A" else "int8_wo" for letter in order]
        results = [
            make_result(
                tmp_path / order / str(number),
                name,
                tokens_per_s=[rates[name][names[:number].count(name)]],
                started_utc=f"2026-01-01T00:0{number}:00+00:00",
            )
            for number, name in enumerate(names)
        ]
        change = compared(*results).pairs[0].change("throughput", OFFLINE)
        assert change is not None and change.outcome == outcome


def test_less_latency_is_better(tmp_path: Path) -> None:
    runs = [
        make_result(
            tmp_path / recipe,
            recipe,
            scenario=Scenario.SINGLE_STREAM,
            tokens_per_s=[100.0, 100.0],
            latency={"latency_p99_s": latency_s, "ttft_p50_s": 0.01},
        )
        for recipe, latency_s in (("bf16", 0.5), ("int8_wo", 0.25))
    ]
    (pair,) = compared(*runs).pairs
    change = pair.change("latency_p99", Scenario.SINGLE_STREAM)
    assert change is not None
    assert (change.baseline, change.other, change.outcome) == (500.0, 250.0, "better")
    ttft = pair.change("ttft_p50", Scenario.SINGLE_STREAM)
    assert ttft is not None and ttft.outcome == "equal"
    assert pair.change("tpot_p50", Scenario.SINGLE_STREAM) is None


def test_size_and_memory_are_exact_and_not_known(tmp_path: Path) -> None:
    found = compared(
        make_result(tmp_path / "a", peak_bytes=300_000_000),
        make_result(tmp_path / "b", "int8_wo", peak_bytes=200_000_000),
    )
    size, memory = (found.pairs[0].change(name) for name in ("size", "memory"))
    assert size is not None and (size.baseline, size.outcome) == (1e-5, "equal")
    assert memory is not None
    assert (memory.baseline, memory.other, memory.outcome) == (300.0, 200.0, "not known")


def test_only_what_differs_is_shown(tmp_path: Path) -> None:
    found = compared(make_result(tmp_path / "a"), make_result(tmp_path / "b", "int8_wo"))
    fields = {
        setting.field: (setting.baseline, setting.other) for setting in found.pairs[0].settings
    }
    assert fields["engine.recipe.name"] == ("bf16", "int8_wo")
    assert fields["engine.recipe.weights"] == ("bf16", "int8")
    assert all(field.startswith("engine.recipe.") for field in fields)


def test_what_is_not_like_is_said(tmp_path: Path) -> None:
    workload = load_workload("newsbrief").model_copy(update={"max_new_tokens": 7})
    other = make_result(
        tmp_path / "b",
        "int8_wo",
        machine=MACHINE.model_copy(update={"cpu": "Another CPU"}),
        workload=workload,
        round="v6.0",
        num_samples=7,
        dataset=make_result(tmp_path / "c", num_samples=7).record.dataset.model_copy(
            update={"digest": "7" * 64}
        ),
        busy=True,
    )
    first = make_result(tmp_path / "a")
    found = compared(first, other)
    said = "\n".join(found.pairs[0].notes)
    assert "different machines (cpu: Example CPU 9000 and Another CPU), which their speed" in said
    assert "different rules (round: v6.1 and v6.0)" in said
    assert "asked different things (max_new_tokens: 128 and 7)" in said
    assert "Offline asked different samples, 5 and 7 of them." in said
    assert found.candidates[0].doubts == ()
    (doubt,) = found.candidates[1].doubts
    assert doubt.startswith("1 tests of int8_wo were measured beside other work (busy machine:")
    assert compared(first, make_result(tmp_path / "d", "int4_wo")).pairs[0].notes == ()


def test_a_broken_rule_is_said_of_each_scenario(tmp_path: Path) -> None:
    other = [
        make_result(tmp_path / "b", "int8_wo"),
        make_result(tmp_path / "c", "int8_wo", scenario=Scenario.SERVER, broken="TTFT p99"),
        make_result(tmp_path / "d", "int8_wo", scenario=Scenario.SERVER),
    ]
    found = compared(make_result(tmp_path / "a"), *other)
    assert found.candidates[0].doubts == ()
    assert found.candidates[1].doubts == (
        "Server of int8_wo is INVALID: TTFT p99: measured 3, the limit is 2; ask for less.",
    )
    assert found.candidates[1].invalid.keys() == {Scenario.SERVER}


def test_other_rates_are_said(tmp_path: Path) -> None:
    runs = [
        make_result(tmp_path / recipe, recipe, scenario=Scenario.SERVER, qps=qps)
        for recipe, qps in (("bf16", 2.0), ("int8_wo", 3.0))
    ]
    assert compared(*runs).pairs[0].notes == (
        "Server was asked in different ways (target_qps: 2.0 and 3.0).",
    )


def test_simulated_runs_are_never_among_measured_ones(tmp_path: Path) -> None:
    first = make_result(tmp_path / "a")
    pretence = make_result(tmp_path / "b", "int8_wo", marks=("simulated", "short"))
    with pytest.raises(UsageError, match="b is a simulated run: its figures are a time model's"):
        compared(first, pretence)


def test_simulated_runs_are_compared_on_request_and_keep_their_mark(tmp_path: Path) -> None:
    sides = candidates_of(
        [
            make_result(tmp_path / "a"),
            make_result(tmp_path / "b", "int8_wo", marks=("simulated", "short")),
        ]
    )
    found = compare(sides, sides[0], simulated=True)
    assert "simulated" in found.candidates[1].marks
    assert found.candidates[1].doubts == (
        "int8_wo simulated cpu is simulated: a time model answered, and nothing is measured.",
    )
    assert found.pareto.front == ("bf16",)
    assert found.pareto.left_out.keys() == {"int8_wo simulated cpu"}
    alone = compare(sides[1:], sides[1])
    assert alone.pareto.front == ("int8_wo simulated cpu",)


def test_an_emulated_run_has_scores_alone(tmp_path: Path) -> None:
    answers = references(10)
    first = make_result(tmp_path / "a", answers=answers)
    emulated = make_result(
        tmp_path / "b", "int8_sq", tokens_per_s=(), answers=answers, marks=("emulated", "short")
    )
    found = compared(first, emulated)
    names = {figure.metric for figure in found.candidates[1].figures}
    assert names == {"rouge1", "rouge2", "rougeL", "rougeLsum"}
    assert found.candidates[1].doubts == (
        "int8_sq emulated cpu has an accuracy alone: it was not executed on its GPU.",
    )
    assert found.pareto.left_out.keys() == {"int8_sq emulated cpu"}


def test_the_reference_is_a_gate_where_the_whole_was_asked(tmp_path: Path) -> None:
    run = make_result(tmp_path / "a", answers=references(10)).run
    workload = load_workload("llama3.1-8b")
    assert workload.accuracy is not None and run.record.accuracy is not None
    scores = run.record.accuracy.scores
    reference = {**workload.accuracy.reference, "rouge2": 100.2}
    target = workload.accuracy.model_copy(update={"reference": reference})
    gates = tuple(check_gates(scores, target))
    changed = run.changed(
        workload=workload.model_copy(update={"accuracy": target}),
        accuracy=AccuracyRecord(scores=scores, gates=gates),
    )
    first = type(make_result(tmp_path / "b"))(changed, tmp_path)
    (candidate,) = candidates_of([first])
    summary = compare([candidate, Candidate("again", (first,))], candidate).candidates[0]
    passed = {(gate.level, gate.metric): gate.passed for gate in summary.gates}
    assert passed[0.99, "rouge2"] and not passed[0.999, "rouge2"]
    assert passed[0.999, "rouge1"]
    missed = next(gate for gate in summary.gates if not gate.passed)
    assert missed.sentence == (
        "ROUGE-2 is 100.00, 99.9 % of the reference is 100.10: missed by 0.10"
    )
    assert (
        compared(
            make_result(tmp_path / "c", answers=references(10)),
            make_result(tmp_path / "d", "int8_wo"),
        )
        .candidates[0]
        .gates
        == ()
    )


def test_the_front_has_who_is_beaten_by_nobody(tmp_path: Path) -> None:
    def made(recipe: str, rate: float, wrong: int, peak_bytes: int) -> Any:
        answers = ["Nothing." if n < wrong else text for n, text in enumerate(references(20))]
        return make_result(
            tmp_path / recipe, recipe, tokens_per_s=[rate], answers=answers, peak_bytes=peak_bytes
        )

    found = compared(
        made("bf16", 100.0, 0, 300), made("int8_wo", 200.0, 1, 200), made("int4_wo", 150.0, 2, 250)
    ).pareto
    assert found.axes == ("Offline tokens/s", "ROUGE-1", "peak memory, MB")
    assert found.front == ("bf16", "int8_wo")
    assert {p.label: p.dominated_by for p in found.points}["int4_wo"] == "int8_wo"


def test_two_that_are_alike_do_not_beat_each_other(tmp_path: Path) -> None:
    found = compared(make_result(tmp_path / "a"), make_result(tmp_path / "b", "int8_wo")).pareto
    assert found.axes == ("Offline tokens/s", "engine size, MB")
    assert found.front == ("bf16", "int8_wo")
