"""How far prompts are read, by what each step told."""

from __future__ import annotations

import pytest

from runtime.openvino.prompts import PromptsRead


@pytest.fixture
def prompts() -> PromptsRead:
    """Three prompts of 150, 70 and 190 tokens, in steps of 100."""
    prompts = PromptsRead(100)
    for number, length in enumerate((150, 70, 190)):
        prompts.add(number, length)
    return prompts


def test_a_step_reads_what_the_answers_leave_over(prompts: PromptsRead) -> None:
    read = []
    for answered in ((), (0,), (0, 1), (0, 1), (0, 1, 2), (0, 1, 2)):
        prompts.step([(number, 1) for number in answered])
        read.append(prompts.num_tokens)
    assert read == [100, 200, 299, 397, 410, 410]


def test_a_prompt_without_a_first_token_is_not_whole(prompts: PromptsRead) -> None:
    for _ in range(5):  # as while the cache is full
        prompts.step([])
    assert prompts.num_tokens == 149


def test_a_prompt_that_failed_was_read_as_far_as_its_turn_had_come(prompts: PromptsRead) -> None:
    prompts.step([])
    prompts.step([(0, 0), (2, 0)])
    prompts.step([(1, 1)])
    assert prompts.num_tokens == 100 + 70


def test_with_nothing_to_read_nothing_is_counted() -> None:
    prompts = PromptsRead(100)
    prompts.step([(1, 1), (2, 1)])
    assert prompts.num_tokens == 0


def test_prompts_that_are_given_up_half_read_are_progress_all_the_same() -> None:
    prompts = PromptsRead(100)
    counts = []
    for number in range(5):
        prompts.add(number, 250)
        for _ in range(2):
            prompts.step([])
            counts.append(prompts.num_tokens)
        prompts.step([(number, 0)])
    assert counts == sorted({*counts}), "each iteration moved it"
