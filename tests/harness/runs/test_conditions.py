"""Conditions on answers where LoadGen is not needed: how much chance they allow, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import RunFailed
from harness.loadgen.given import GivenAnswers
from harness.rules.verdict import Rule
from harness.runs.caching import most_alike, not_cached
from harness.runs.conditions.both_tests import of_both_tests, shared
from harness.runs.conditions.content import ids_are_text
from harness.runs.conditions.pace import as_made, first_computed
from harness.runs.reading import Language, Reading
from newsbrief import CHECKPOINT
from tests.cheats.cheats import SPACE, STOP


def ids(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array(values, np.int32)


def passed(answers: dict[int, list[int]], others: dict[int, list[int]]) -> list[bool]:
    """Of the rules on ids and on lengths."""
    pairs = [(sample, ids(each)) for sample, each in answers.items()]
    theirs = {sample: ids(each) for sample, each in others.items()}
    return [rule.passed for rule in of_both_tests(pairs, theirs, "accuracy")]


SAME = {sample: list(range(sample, sample + 40)) for sample in range(50)}


def test_what_two_answers_share_is_counted_from_their_beginning() -> None:
    assert shared(ids([1, 2, 3, 4]), ids([1, 2, 9, 4])) == 0.5
    assert shared(ids([1, 2]), ids([1, 2, 3, 4])) == 0.5
    assert shared(ids([1]), ids([2])) == 0.0
    assert shared(ids([]), ids([])) == 1.0


def test_equal_answers_and_a_few_that_part_pass() -> None:
    assert passed(SAME, SAME) == [True, True]
    parted = SAME | {3: [*SAME[3][:5], 900, 901], 7: [*SAME[7], *range(900, 970)]}
    assert passed(parted, SAME) == [True, True]


def test_answers_that_are_all_a_little_shorter_do_not_pass() -> None:
    shorter = {sample: each[:38] for sample, each in SAME.items()}
    assert passed(shorter, SAME) == [True, False]


def test_other_answers_of_the_same_length_do_not_pass() -> None:
    other = {sample: [900, *each[1:]] for sample, each in SAME.items()}
    assert passed(other, SAME) == [False, True]


def test_one_sample_shows_nothing_and_what_only_one_test_asked_is_left_out() -> None:
    assert passed({1: [5, 6]}, {1: [7, 8, 9, 10, 11], 2: [3]}) == [True, True]
    assert passed({}, SAME) == [True, True]


def given(burst: int, ttft_s: float, second_s: float, length: int = 40) -> GivenAnswers:
    count = 9
    records = [(i, ttft_s, ttft_s + 1.0, length) for i in range(count)]
    return GivenAnswers.of(records, [ids([5] * length)] * count, [(second_s, burst)] * count)


def test_several_tokens_of_a_step_are_no_withheld_ones() -> None:
    assert as_made(given(10, 0.1, 0.01)).passed
    assert not as_made(given(11, 0.1, 0.01)).passed
    assert as_made(given(8, 0.1, 0.01, length=8)).passed  # short answers show nothing
    quick = given(40, 0.001, 0.02)
    quick = replace(quick, latency_s=quick.latency_s * 0.01)
    assert as_made(quick).passed
    assert first_computed(quick).passed


def test_a_first_token_takes_about_as_long_as_the_second_or_longer() -> None:
    assert first_computed(given(1, 0.01, 0.02)).passed
    assert not first_computed(given(1, 0.009, 0.02)).passed
    assert first_computed(given(40, 0.009, float("nan"))).passed  # none came later


def test_the_different_samples_are_like_the_one() -> None:
    lengths = [100, 100, 500, 101, 300, 100]
    answers = [ids([5] * n) for n in (40, 41, 40, 40, 40, 90)]
    records = [(i, 0.1, 0.2, len(each)) for i, each in enumerate(answers)]
    made = GivenAnswers.of(records, answers, [(0.1, 1)] * 6)
    middle, *others = most_alike(lengths, made, 4)
    assert middle == 3
    assert others == [0, 1, 5]


def test_without_a_test_of_caching_there_is_no_verdict_on_it(tmp_path: Path) -> None:
    with pytest.raises(RunFailed, match="has no test of caching; audit the run again"):
        not_cached(tmp_path)


LANGUAGE = Language(Tokenizer.load(CHECKPOINT), 4096, (STOP,))
SENTENCE = "The council voted for a new school in Harbour, and a ferry was late by two hours."


def text_rule(answers: Sequence[Sequence[int]]) -> Rule:
    """Of answers, which are told apart by their first word."""
    return ids_are_text(Reading([ids(each) for each in answers], LANGUAGE))


def honest(number: int, most: int = 16) -> list[int]:
    """What a model says that is sure of its words."""
    (found,) = LANGUAGE.tokenizer.encode_batch([f" {number} {SENTENCE}"])
    return [i for i in found.tolist() if i not in LANGUAGE.tokenizer.special_ids][:most]


def stuck(number: int) -> list[int]:
    """What a model says that is lost: it counts digit by digit, which is tokenised together."""
    (digits,) = LANGUAGE.tokenizer.encode_batch(["$23.4"])
    return [*honest(number, 6), *[int(digits[-1])] * 10]


def test_a_few_answers_of_a_lost_model_are_no_cheat() -> None:
    answers = [*(honest(number) for number in range(5)), *(stuck(number) for number in range(3))]
    rule = text_rule(answers)
    assert rule.value is not None and rule.limit is not None
    assert rule.limit < rule.value < 0.9
    assert rule.passed


@pytest.mark.parametrize("num", [4, 6, 48, 300])
def test_filling_all_answers_up_by_a_sixth_is_seen_however_few_they_are(num: int) -> None:
    padded = [[*honest(number, 18), *[SPACE] * 5, STOP] for number in range(num)]
    assert not text_rule(padded).passed
    assert text_rule([[*honest(number, 18), STOP] for number in range(num)]).passed


@pytest.mark.parametrize(("num", "every"), [(6, 2), (48, 4), (300, 4), (2000, 8)])
def test_filling_some_answers_up_much_is_seen(num: int, every: int) -> None:
    answers = [
        [*honest(number), *([SPACE] * 32 if number % every == 0 else []), STOP]
        for number in range(num)
    ]
    assert not text_rule(answers).passed


def test_one_answer_to_everything_leaves_little_in_doubt() -> None:
    assert not text_rule([[*honest(1), *[SPACE] * 12, STOP]] * 50).passed
