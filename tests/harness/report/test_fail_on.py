"""A limit fails on what is worse than it says, in the metric's own direction."""

from __future__ import annotations

from pathlib import Path

import pytest

from build_engine.errors import UnknownName, UsageError
from harness.report.candidate import candidates_of
from harness.report.compare import compare
from harness.report.comparison import Comparison
from harness.report.fail_on import Limit, checks_of, not_judged, parse_limits
from harness.report.result import Result
from harness.rules.scenario import Scenario
from tests.harness.report.results import make_result, references


def made(folder: Path, rates: list[float], p99_s: float, wrong: int = 0) -> Comparison:
    """A baseline of 1,000 tokens/s, TTFT p99 of 1 s and ROUGE-1 of 100, and another."""
    results = []
    for recipe, speed, latency_s, num_wrong in (
        ("bf16", [1000.0, 1001.0, 999.0], 1.0, 0),
        ("int8_wo", rates, p99_s, wrong),
    ):
        answers = ["No." if n < num_wrong else text for n, text in enumerate(references(100))]
        result = make_result(
            folder / recipe,
            recipe,
            tokens_per_s=speed,
            latency={"ttft_p99_s": latency_s},
            answers=answers,
        )
        results.append(result)
    candidates = candidates_of(results)
    return compare(candidates, candidates[0])


def test_limits_are_read_with_their_direction() -> None:
    assert parse_limits("throughput:-3%, ttft_p99:+20%,rouge1:0.5,memory:+100") == (
        Limit("throughput", 0.03, True),
        Limit("ttft_p99", 0.2, True),
        Limit("rouge1", 0.5, False),
        Limit("memory", 100.0, False),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "`` is no limit; write METRIC:CHANGE, as in --fail-on throughput:-3%,rouge1:-1%"),
        ("throughput", "`throughput` is no limit"),
        ("throughput:-3%,", "`` is no limit"),
        ("throughput:nan", "is no limit"),
        (f"throughput:-{'9' * 400}%", "of `throughput` is too large a number"),
        ("throughput:+3%", "would fail on an improvement: throughput is worse when it is lower"),
        ("size:-3", r"worse when it is higher; write size:\+3\."),
    ],
)
def test_what_is_no_limit_is_refused(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_limits(text)


def test_an_unknown_metric_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"Unknown metric `rouge`\. Did you mean `rouge"):
        parse_limits("rouge:-1%")


@pytest.mark.parametrize(
    ("limit", "failed"),
    [
        ("throughput:-3%", False),
        ("throughput:-1%", True),
        ("throughput:-21", False),
        ("throughput:-19", True),
        ("ttft_p99:+11%", False),
        ("ttft_p99:+9%", True),
        ("ttft_p99:+99", True),
        ("rouge1:-11%", False),
        ("rouge1:-9%", True),
        ("rouge1:-9", True),
        ("size:+0%", False),
    ],
)
def test_the_estimate_decides(tmp_path: Path, limit: str, failed: bool) -> None:
    """2 % slower, 10 % later, 10 points less."""
    comparison = made(tmp_path, [980.0, 981.0, 979.0], 1.1, wrong=10)
    (check,) = checks_of(comparison, parse_limits(limit))
    assert check.failed is failed
    assert ("FAILED" if failed else "kept") in check.sentence


def test_what_is_better_never_fails(tmp_path: Path) -> None:
    comparison = made(tmp_path, [2000.0, 2001.0], 0.5)
    limits = parse_limits("throughput:-0%,ttft_p99:+0%,rouge1:-0%")
    assert [check.failed for check in checks_of(comparison, limits)] == [False] * 3


def test_it_names_metric_value_limit_and_doubt(tmp_path: Path) -> None:
    comparison = made(tmp_path, [900.0, 1100.0, 930.0], 1.0)
    (check,) = checks_of(comparison, parse_limits("throughput:-1%"))
    assert check.certain is False
    assert check.sentence == (
        "int8_wo: Offline throughput (`throughput`) is -2.72 % against the baseline (1000 to "
        "972.835 tokens/s), the limit is -1 %: FAILED, though the 95 % interval reaches the limit."
    )


def test_a_metric_that_the_runs_do_not_have_is_refused(tmp_path: Path) -> None:
    comparison = made(tmp_path, [1000.0], 1.0)
    with pytest.raises(UsageError, match=r"both have TPOT p99 .`tpot_p99`.; both have: throughp"):
        checks_of(comparison, parse_limits("tpot_p99:+1%"))


def with_emulated(folder: Path, *recipes: str, measured: bool = True) -> Comparison:
    """bf16, with an emulation of each of the recipes."""
    answers = references(20)
    first = [make_result(folder / "bf16", "bf16", answers=answers)] if measured else []
    emulated = [
        make_result(
            folder / f"{recipe}-emulated",
            recipe,
            tokens_per_s=(),
            answers=answers,
            marks=("emulated",),
        )
        for recipe in recipes
    ]
    candidates = candidates_of([*first, *emulated])
    return compare(candidates, candidates[0])


@pytest.mark.parametrize("limit", ["throughput:-3%", "size:+1%", "memory:+1%", "ttft_p99:+1%"])
def test_an_emulation_is_judged_by_its_scores_alone(tmp_path: Path, limit: str) -> None:
    comparison = with_emulated(tmp_path, "int8_sq")
    limits = parse_limits(f"{limit},rouge1:-1%")
    with pytest.raises(UsageError, match=r"Nobody can be judged by .* other candidate is emulated"):
        checks_of(comparison, limits)
    (check,) = checks_of(comparison, limits[1:])
    assert check.metric == "rouge1"
    (sentence,) = not_judged(comparison, limits)
    assert "int8_sq" in sentence and "is emulated, and has no" in sentence


def test_an_emulation_beside_it_leaves_a_measured_one_judged(tmp_path: Path) -> None:
    answers = references(20)
    results = [
        make_result(tmp_path / "a", "bf16", tokens_per_s=(1000.0,), answers=answers),
        make_result(tmp_path / "b", "int8_wo", tokens_per_s=(900.0,), answers=answers),
        make_result(
            tmp_path / "c", "int8_sq", tokens_per_s=(), answers=answers, marks=("emulated",)
        ),
    ]
    candidates = candidates_of(results)
    comparison = compare(candidates, candidates[0])
    limits = parse_limits("throughput:-3%")
    (check,) = checks_of(comparison, limits)
    assert (check.label, check.failed) == ("int8_wo", True)
    assert len(not_judged(comparison, limits)) == 1
    comparison = compare(candidates, candidates[2])
    with pytest.raises(UsageError, match=r"The baseline, int8_sq.*, is emulated .*by --baseline"):
        checks_of(comparison, limits)


def test_a_measured_candidate_without_the_metric_is_still_refused(tmp_path: Path) -> None:
    first = make_result(tmp_path / "a", "bf16", answers=references(20))
    scored = make_result(tmp_path / "b", "int8_wo", tokens_per_s=(), answers=references(20))
    candidates = candidates_of([first, scored])
    with pytest.raises(UsageError, match="do not both have throughput"):
        checks_of(compare(candidates, candidates[0]), parse_limits("throughput:-3%"))


def timed(folder: Path, recipe: str, scenario: Scenario, *tpot_s: float | None) -> Result:
    """A run with a test for each of these TPOTs at p99."""
    rates = [1000.0] * len(tpot_s)
    run = make_result(
        folder / f"{recipe}-{scenario}", recipe, scenario=scenario, tokens_per_s=rates
    )
    tests = [
        test.model_copy(update={"metrics": test.metrics.model_copy(update={"tpot_p99_s": value})})
        for test, value in zip(run.tests, tpot_s, strict=True)
        if test.metrics is not None
    ]
    records = run.record.tests.model_copy(update={"performance": tests[0]})
    repeats = run.record.repeats
    if repeats is not None:
        repeats = repeats.model_copy(update={"tests": tuple(tests[1:])})
    return Result(run.run.changed(tests=records, repeats=repeats), run.source)


def held(*results: Result) -> Comparison:
    candidates = candidates_of(results)
    return compare(candidates, candidates[0])


TPOT = parse_limits("tpot_p99:+5%")


def test_a_scenario_that_a_candidate_lost_lets_nothing_pass(tmp_path: Path) -> None:
    both = [
        timed(tmp_path, "bf16", Scenario.SINGLE_STREAM, 0.1),
        timed(tmp_path, "bf16", Scenario.SERVER, 0.1),
    ]
    one = timed(tmp_path, "int8_wo", Scenario.SINGLE_STREAM, 0.1)
    told = (
        r"Server TPOT p99 .`tpot_p99`. of int8_wo cannot be held against that of bf16, as int8_wo "
        r"has no performance test of Server\. Measure it again"
    )
    with pytest.raises(UsageError, match=told):
        checks_of(held(*both, one), TPOT)
    (check,) = checks_of(held(both[0], one), TPOT)
    assert not check.failed


def test_a_scenario_that_only_a_candidate_has_is_said_not_to_be_judged(tmp_path: Path) -> None:
    found = held(
        timed(tmp_path, "bf16", Scenario.SERVER, 0.1),
        timed(tmp_path, "int8_wo", Scenario.SERVER, 0.1),
        timed(tmp_path, "int8_wo", Scenario.SINGLE_STREAM, 0.1),
    )
    (check,) = checks_of(found, TPOT)
    assert check.sentence.startswith("int8_wo: Server TPOT p99")
    assert not_judged(found, TPOT) == (
        "int8_wo: SingleStream TPOT p99 (`tpot_p99`) is not judged, as bf16 has no performance "
        "test of SingleStream.",
    )


@pytest.mark.parametrize(
    ("ours", "theirs", "told"),
    [
        ((0.1, 0.1, 0.1), (0.1, None, 0.1), "1 of 3 tests of int8_wo in Server do not have it"),
        ((0.1, None, 0.1), (0.1, 0.1, 0.1), "1 of 3 tests of bf16 in Server do not have it"),
        ((0.1, None), (None, 0.1), "1 of 2 tests of bf16 in Server do not have it"),
        ((0.1, 0.1), (0.1, 0.0), "it is 0 in 1 of 2 tests of int8_wo in Server"),
        ((0.0, 0.0), (0.1, 0.1), "it is 0 in 2 of 2 tests of bf16 in Server"),
    ],
)
def test_a_figure_that_a_test_lacks_lets_nothing_pass(
    tmp_path: Path, ours: tuple[float, ...], theirs: tuple[float, ...], told: str
) -> None:
    found = held(
        timed(tmp_path, "bf16", Scenario.SINGLE_STREAM, 0.1),
        timed(tmp_path, "bf16", Scenario.SERVER, *ours),
        timed(tmp_path, "int8_wo", Scenario.SINGLE_STREAM, 0.1),
        timed(tmp_path, "int8_wo", Scenario.SERVER, *theirs),
    )
    with pytest.raises(UsageError, match=f"while a figure is missing: Server TPOT p99 .*{told}"):
        checks_of(found, TPOT)
    assert len(checks_of(found, parse_limits("throughput:-5%"))) == 2


def test_a_figure_that_is_0_on_both_sides_is_the_same(tmp_path: Path) -> None:
    """As where whole answers come at once."""
    found = held(
        timed(tmp_path, "bf16", Scenario.SERVER, 0.0, 0.0),
        timed(tmp_path, "int8_wo", Scenario.SERVER, 0.0, 0.0),
    )
    (check,) = checks_of(found, TPOT)
    assert (check.failed, check.worse_by) == (False, 0.0)


def test_a_figure_that_nobody_has_in_a_scenario_is_not_missed(tmp_path: Path) -> None:
    """LoadGen gives no TPOT in Offline."""
    runs = [
        timed(tmp_path, recipe, scenario, value)
        for recipe in ("bf16", "int8_wo")
        for scenario, value in ((Scenario.OFFLINE, None), (Scenario.SERVER, 0.1))
    ]
    assert len(checks_of(held(*runs), TPOT)) == 1
    assert not_judged(held(*runs), TPOT) == ()
