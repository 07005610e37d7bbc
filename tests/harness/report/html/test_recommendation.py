"""What to run, said only as far as the data go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

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


def _result(
    folder: Path, recipe: str, rates: Sequence[float], answers: list[str], **changes: Any
) -> Result:
    scenario = changes.get("scenario", Scenario.OFFLINE)
    return make_result(
        folder / f"{recipe}-{scenario}",
        recipe,
        tokens_per_s=rates,
        answers=answers,
        num_samples=NUM_SAMPLES,
        **changes,
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
    assert advice.chosen is None
    assert advice.sentence.startswith("int8_wo has 1.20 \N{MULTIPLICATION SIGN} bf16's tokens/s")
    assert advice.sentence.endswith("not compared: measure the accuracy of both (--mode both).")
    assert advice.reasons == ("Not considered, as their accuracy was not compared: int8_wo.",)
    slower = _result(tmp_path / "x", "bf16", FAST, RIGHT)
    slow = make_result(tmp_path / "s", "int8_wo", tokens_per_s=SLOW, num_samples=NUM_SAMPLES)
    assert _advice([slower, slow]).chosen == "bf16"


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


def test_what_is_certainly_faster_comes_before_what_only_looks_so(tmp_path: Path) -> None:
    """The estimate of int4_wo is higher, and 1.0 is in its interval."""
    advice = _advice(
        [
            _result(tmp_path, "bf16", SLOW, RIGHT),
            _result(tmp_path, "int8_wo", FAST, RIGHT),
            _result(tmp_path, "int4_wo", (900.0, 1250.0, 1700.0), RIGHT),
        ]
    )
    assert advice.chosen == "int8_wo"
    assert advice.sentence.startswith("Run int8_wo: 1.20")
    (noisy,) = [reason for reason in advice.reasons if "int4_wo" in reason]
    assert noisy.startswith("int4_wo looks faster (1.24 \N{MULTIPLICATION SIGN}, 95 % 0.5")
    assert noisy.endswith("which is less certain: measure it more often (--repeat 5).")


def test_of_two_that_are_faster_the_surer_one_is_run(tmp_path: Path) -> None:
    advice = _advice(
        [
            _result(tmp_path, "bf16", SLOW, RIGHT),
            _result(tmp_path, "int4_wo", (1500.0, 1250.0, 1350.0), RIGHT),
            _result(tmp_path, "int8_wo", (1290.0, 1300.0, 1310.0), RIGHT),
        ]
    )
    assert advice.chosen == "int8_wo"
    assert "int4_wo looks faster (1.36" in advice.reasons[0]


@pytest.mark.parametrize(
    ("rates", "others", "told"),
    [
        ((1000.0,), (1002.0,), "int8_wo looks fastest (1.002 \N{MULTIPLICATION SIGN} bf16's tok"),
        ((1000.0,), (998.0,), "int8_wo looks no faster than bf16 (0.998 \N{MULTIPLICATION SIGN} b"),
        ((1000.0,), (500.0,), "int8_wo looks no faster than bf16 (0.50 \N{MULTIPLICATION SIGN} b"),
    ],
)
def test_one_test_each_proves_neither_more_nor_less(
    tmp_path: Path, rates: Sequence[float], others: Sequence[float], told: str
) -> None:
    advice = _advice(
        [_result(tmp_path, "bf16", rates, RIGHT), _result(tmp_path, "int8_wo", others, RIGHT)]
    )
    assert advice.chosen is None
    assert advice.sentence.startswith(told)
    assert "but each was measured once in Offline, so that it may be noise" in advice.sentence


@pytest.mark.parametrize(
    ("rates", "others", "who"),
    [(SLOW, FAST[:1], "int8_wo"), (SLOW[:1], FAST, "bf16"), (SLOW[:1], FAST[:1], "each")],
)
def test_who_was_measured_once_is_named(
    tmp_path: Path, rates: Sequence[float], others: Sequence[float], who: str
) -> None:
    advice = _advice(
        [_result(tmp_path, "bf16", rates, RIGHT), _result(tmp_path, "int8_wo", others, RIGHT)]
    )
    assert f", but {who} was measured once in Offline, so that" in advice.sentence


def test_what_is_certainly_slower_leaves_the_baseline(tmp_path: Path) -> None:
    """One that cannot be told from it leaves no recommendation, however slow the others are."""
    certain = [_result(tmp_path, "bf16", FAST, RIGHT), _result(tmp_path, "int8_wo", SLOW, RIGHT)]
    assert _advice(certain).chosen == "bf16"
    unsure = _result(tmp_path, "int4_wo", (1000.0, 1190.0, 1260.0), RIGHT)
    advice = _advice([*certain, unsure])
    assert advice.chosen is None
    assert advice.sentence.startswith("The data cannot tell int4_wo from bf16 in speed: 0.95")


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (RIGHT, ""),
        (["The bridge will open.", *RIGHT[1:]], "fewer than 6 of 40 samples score differently"),
    ],
)
def test_a_score_of_few_differences_is_said_to_be_uncertain(
    tmp_path: Path, answers: list[str], told: str
) -> None:
    advice = _advice(
        [_result(tmp_path, "bf16", SLOW, RIGHT), _result(tmp_path, "int8_wo", FAST, answers)]
    )
    assert advice.chosen == "int8_wo"
    assert any(told in reason for reason in advice.reasons) == bool(told)


def test_a_score_of_few_samples_is_said_to_say_little(tmp_path: Path) -> None:
    runs = [
        make_result(tmp_path / recipe, recipe, tokens_per_s=rates, answers=references(3))
        for recipe, rates in (("bf16", SLOW), ("int8_wo", FAST))
    ]
    (reason,) = _advice(runs).reasons
    assert reason == (
        "Its ROUGE-1 is within 99 % of the baseline's, but on 3 samples that says little."
    )


def test_what_breaks_rules_that_the_baseline_keeps_is_not_recommended(tmp_path: Path) -> None:
    """Its speed may be that of answers that were not made."""
    bf16 = _result(tmp_path, "bf16", SLOW, RIGHT)
    fast = _result(tmp_path, "int8_wo", FAST, RIGHT, broken="answers of both tests")
    advice = _advice([bf16, fast])
    assert advice.chosen == "bf16"
    assert advice.reasons == (
        "Not considered, as its Offline is INVALID where bf16's is not: int8_wo (answers of both "
        "tests: measured 3, the limit is 2; ask for less).",
    )
    sound = _result(tmp_path, "int4_wo", FAST, RIGHT)
    assert _advice([bf16, fast, sound]).chosen == "int4_wo"


def test_a_broken_rule_elsewhere_is_said_of_what_is_recommended(tmp_path: Path) -> None:
    runs = [
        _result(tmp_path, "bf16", SLOW, RIGHT, broken="minimum duration"),
        _result(tmp_path, "int8_wo", FAST, RIGHT, broken="minimum duration"),
        make_result(tmp_path / "s", "int8_wo", scenario=Scenario.SERVER, qps=2.0, broken="TTFT"),
    ]
    advice = _advice(runs)
    assert advice.chosen == "int8_wo"  # both break it
    assert advice.reasons[:2] == (
        "Offline of int8_wo is INVALID: minimum duration: measured 3, the limit is 2; ask for "
        "less.",
        "Server of int8_wo is INVALID: TTFT: measured 3, the limit is 2; ask for less.",
    )


def test_a_scenario_that_all_have_is_compared_where_the_baselines_best_is_missing(
    tmp_path: Path,
) -> None:
    runs = [
        _result(tmp_path, "bf16", SLOW, RIGHT, scenario=Scenario.SERVER, qps=2.0),
        _result(tmp_path, "int8_wo", FAST, RIGHT, scenario=Scenario.SERVER, qps=2.0),
        _result(tmp_path, "int8_wo", FAST, RIGHT),
    ]
    advice = _advice(runs)
    assert advice.sentence.startswith("Run int8_wo: 1.20")
    assert any("Speeds are those of Server, whose rate was given" in r for r in advice.reasons)


def test_who_has_no_speed_there_is_named(tmp_path: Path) -> None:
    runs = [
        _result(tmp_path, "bf16", SLOW, RIGHT),
        _result(tmp_path, "int8_wo", FAST, RIGHT),
        _result(tmp_path, "int4_wo", FAST, RIGHT, scenario=Scenario.SERVER, qps=2.0),
    ]
    advice = _advice(runs)
    assert advice.chosen == "int8_wo"
    told = "Not considered, as no Offline speed of theirs was measured: int4_wo."
    assert told in advice.reasons
