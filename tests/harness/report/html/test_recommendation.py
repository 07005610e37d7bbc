"""What to run, said only as far as the data go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.report.candidate import candidates_of
from harness.report.compare import compare
from harness.report.html.outcome import compared_scenario, outcomes_of
from harness.report.html.recommendation import Recommendation, recommend
from harness.report.result import Result
from harness.rules.scenario import Scenario
from tests.harness.report.html.studies import NUM_SAMPLES
from tests.harness.report.results import make_result, references

RIGHT = references(NUM_SAMPLES)
WRONG = ["A dog barked."] * NUM_SAMPLES
SLOW, FAST = (1000.0, 1010.0, 990.0), (1200.0, 1210.0, 1190.0)


def _advice(results: Sequence[Result]) -> Recommendation:
    candidates = candidates_of(results)
    comparison = compare(candidates, candidates[0])
    scenarios = [each for candidate in candidates for each in candidate.scenarios]
    return recommend(outcomes_of(comparison, compared_scenario(comparison, scenarios)))


def _result(folder: Path, recipe: str, rates: Sequence[float], answers: list[str]) -> Result:
    return make_result(
        folder / recipe, recipe, tokens_per_s=rates, answers=answers, num_samples=NUM_SAMPLES
    )


def test_the_fastest_that_keeps_the_accuracy_is_recommended(tmp_path: Path) -> None:
    advice = _advice(
        [
            _result(tmp_path, "bf16", SLOW, RIGHT),
            _result(tmp_path, "int8_wo", FAST, RIGHT),
            _result(tmp_path, "int4_wo", [2 * rate for rate in FAST], WRONG),
        ]
    )
    assert advice.chosen == "int8_wo"
    assert advice.sentence.startswith("Run int8_wo: 1.20 \N{MULTIPLICATION SIGN} bf16's tokens/s")
    assert advice.sentence.endswith("the same ROUGE-1, within 99 % of the baseline.")
    assert any("int4_wo is faster still (2.40" in reason for reason in advice.reasons)


def test_noise_is_no_recommendation(tmp_path: Path) -> None:
    slow, fast = (900.0, 1100.0, 1000.0), (950.0, 1150.0, 1040.0)
    advice = _advice(
        [_result(tmp_path, "bf16", slow, RIGHT), _result(tmp_path, "int8_wo", fast, RIGHT)]
    )
    assert advice.chosen is None
    assert advice.sentence.startswith("The data cannot tell int8_wo from bf16 in speed: 1.05")


def test_one_test_each_is_no_evidence(tmp_path: Path) -> None:
    advice = _advice(
        [_result(tmp_path, "bf16", SLOW[:1], RIGHT), _result(tmp_path, "int8_wo", FAST[:1], RIGHT)]
    )
    assert advice.chosen is None
    assert "so that it may be noise; repeat it (--repeat 3)" in advice.sentence


def test_the_baseline_stays_where_nothing_is_faster_and_as_good(tmp_path: Path) -> None:
    advice = _advice(
        [_result(tmp_path, "bf16", FAST, RIGHT), _result(tmp_path, "int8_wo", SLOW, RIGHT)]
    )
    assert advice.chosen == "bf16"
    assert advice.sentence == (
        "Run bf16: no other candidate that keeps 99 % of its ROUGE-1 is faster."
    )


def test_what_was_not_scored_is_not_recommended(tmp_path: Path) -> None:
    fast = make_result(tmp_path / "int8_wo", "int8_wo", tokens_per_s=FAST, num_samples=NUM_SAMPLES)
    advice = _advice([_result(tmp_path, "bf16", SLOW, RIGHT), fast])
    assert advice.chosen == "bf16"
    assert advice.reasons == ("Not considered, as their accuracy was not compared: int8_wo.",)


def test_a_single_candidate_is_compared_with_nothing(tmp_path: Path) -> None:
    advice = _advice([_result(tmp_path, "bf16", SLOW[:1], RIGHT)])
    assert advice.chosen is None
    assert advice.sentence.startswith("bf16 made 1,000 tokens/s in Offline, ROUGE-1 100.00;")


def test_emulated_and_simulated_results_recommend_nothing(tmp_path: Path) -> None:
    emulated = make_result(
        tmp_path / "e", tokens_per_s=(), answers=RIGHT, num_samples=NUM_SAMPLES, marks=["emulated"]
    )
    assert "an accuracy and no speed" in _advice([emulated]).sentence
    simulated = make_result(tmp_path / "s", tokens_per_s=SLOW, marks=["simulated"])
    assert "a time model answered" in _advice([simulated]).sentence


def test_a_scenario_at_full_speed_is_compared_before_one_of_a_given_rate(tmp_path: Path) -> None:
    runs = [
        make_result(tmp_path / str(s), scenario=s, qps=2.0 if s.has_rate else None)
        for s in (Scenario.SERVER, Scenario.SINGLE_STREAM, Scenario.OFFLINE)
    ]
    candidates = candidates_of(runs)
    comparison = compare(candidates, candidates[0])
    assert compared_scenario(comparison, list(Scenario)) is Scenario.OFFLINE
    alone = compare(candidates_of(runs[:1]), candidates_of(runs[:1])[0])
    assert compared_scenario(alone, list(Scenario)) is Scenario.SERVER
    assert compared_scenario(alone, [Scenario.OFFLINE]) is None
