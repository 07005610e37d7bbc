"""How far prompts are read, by what each step told."""

from __future__ import annotations

import pytest

from runtime.messages import ChunkRow
from runtime.openvino.prompts import PromptsRead


def row(number: int, num_new: int = 1, error: str | None = None) -> ChunkRow:
    return number, num_new, error is not None, error


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
        prompts.step([row(number) for number in answered])
        read.append(prompts.num_tokens)
    assert read == [100, 200, 299, 397, 410, 410]


def test_a_prompt_without_a_first_token_is_not_whole(prompts: PromptsRead) -> None:
    for _ in range(5):  # as while the cache is full
        prompts.step([])
    assert prompts.num_tokens == 149


def test_a_prompt_that_failed_was_not_read(prompts: PromptsRead) -> None:
    prompts.step([])
    prompts.step([row(0, 0, "no cache"), row(1)])
    prompts.step([row(2)])
    assert prompts.num_tokens == 70 + 190


def test_with_nothing_to_read_nothing_is_counted() -> None:
    prompts = PromptsRead(100)
    prompts.step([row(1), row(2)])
    assert prompts.num_tokens == 0
