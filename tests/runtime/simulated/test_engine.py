"""The simulated engine: what holds for any requests under any policy, and cases by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import get_args

import numpy as np
import pytest
from pydantic import ValidationError

from runtime.simulated.decoding import Answer
from runtime.simulated.engine import Engine, Iteration
from runtime.simulated.model import EngineModel, Policy
from tests.runtime.simulated.models import small

POLICIES: tuple[Policy, ...] = get_args(Policy)
EVERY_KIND = pytest.mark.parametrize(
    ("seed", "policy", "chunked"), list(product(range(12), POLICIES, (True, False)))
)


def any_model(seed: int, policy: Policy, chunked: bool) -> EngineModel:
    """An engine in which now one limit binds and now another."""
    rng = np.random.default_rng(seed)
    tokens_per_block = int(rng.choice([1, 3, 8]))
    return small(
        policy,
        kv_blocks=int(rng.integers(60, 300)) // tokens_per_block,
        tokens_per_block=tokens_per_block,
        max_batch_size=int(rng.integers(1, 20)),
        max_num_tokens=int(rng.integers(30, 90)),
        chunked_context=chunked,
    )


def any_requests(model: EngineModel, seed: int) -> list[tuple[int, int]]:
    """Prompts and answers of many lengths, those left out that can never be answered."""
    rng = np.random.default_rng(seed)
    drawn = zip(rng.integers(1, 60, 80).tolist(), rng.integers(1, 30, 80).tolist(), strict=True)
    return [(prompt, length) for prompt, length in drawn if not model.refusal(prompt, length)]


def run(
    model: EngineModel, requests: list[tuple[int, int]], seed: int = 0
) -> Iterator[tuple[Engine, list[Answer], Iteration]]:
    """Iterations until all are answered; requests come in now and then."""
    rng = np.random.default_rng(seed)
    engine, answers = Engine(model), list[Answer]()
    while len(answers) < len(requests) or engine.busy:
        coming = rng.integers(0, 4) if engine.busy else 1
        for number in range(len(answers), min(len(answers) + coming, len(requests))):
            answers.append(engine.add(number, *requests[number]))
        yield engine, answers, engine.step()


@EVERY_KIND
def test_every_request_ends_with_exactly_its_tokens_and_nothing_is_kept(
    seed: int, policy: Policy, chunked: bool
) -> None:
    model = any_model(seed, policy, chunked)
    requests = any_requests(model, seed)
    assert len(requests) > 20
    started, finished = list[int](), list[int]()
    for engine, _, done in run(model, requests, seed):
        last = engine
        started += [answer.id for answer in done.started]
        finished += [answer.id for answer in done.finished]
        assert all(engine.made(answer) == requests[answer.id][1] for answer in done.finished)
        assert set(finished) <= set(started)
    assert started == list(range(len(requests))), "first come, first served"
    assert sorted(finished) == started
    assert (last.blocks_used, last.num_active, last.num_queued) == (0, 0, 0)


@EVERY_KIND
def test_limits_hold_in_every_iteration(seed: int, policy: Policy, chunked: bool) -> None:
    model = any_model(seed, policy, chunked)
    for engine, _, done in run(model, any_requests(model, seed), seed):
        assert 0 <= engine.blocks_used <= model.kv_blocks
        assert engine.num_active <= min(model.max_batch_size, model.max_num_tokens)
        assert done.num_paused == 0 or policy == "max_utilization"
        assert done.seconds > 0


@EVERY_KIND
def test_the_oldest_request_gets_on_in_every_iteration(
    seed: int, policy: Policy, chunked: bool
) -> None:
    model = any_model(seed, policy, chunked)
    reached, ended = dict[int, int](), set[int]()
    for engine, answers, done in run(model, any_requests(model, seed), seed):
        oldest = next(answer for answer in answers if answer.id not in ended)
        now = engine.made(oldest) + oldest.cached
        assert now > reached.get(oldest.id, 0)
        ended |= {answer.id for answer in done.finished}
        reached = {each.id: engine.made(each) + each.cached for each in answers}


@pytest.mark.parametrize("seed", range(12))
def test_blocks_in_use_are_those_of_the_tokens_in_the_caches(seed: int) -> None:
    model = any_model(seed, "guaranteed_no_evict", True)
    ended = set[int]()
    for engine, answers, done in run(model, any_requests(model, seed), seed):
        ended |= {answer.id for answer in done.finished}
        held = [
            each.prompt + engine.made(each) if engine.made(each) else each.cached
            for each in answers
            if each.id not in ended
        ]
        assert engine.blocks_used == sum(-(-tokens // model.tokens_per_block) for tokens in held)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_requests_end_the_same_way(policy: Policy) -> None:
    def events() -> list[object]:
        model = any_model(3, policy, True)
        return [
            (done.seconds, [a.id for a in done.started], [a.id for a in done.finished])
            for _, _, done in run(model, any_requests(model, 3))
        ]

    assert events() == events()


Step = tuple[list[int], list[int], int]
NOTHING: Step = ([], [], 0)


def ids(answers: Sequence[Answer]) -> list[int]:
    return [answer.id for answer in answers]


def steps(engine: Engine) -> list[Step]:
    """(first tokens, whole answers, paused) of each iteration until NOTHING is left."""
    found = []
    while engine.busy:
        done = engine.step()
        found.append((ids(done.started), ids(done.finished), done.num_paused))
    return found


def two_long(policy: Policy) -> Engine:
    """Two requests of 4 blocks each at their end, where there are 6."""
    engine = Engine(small(policy, kv_blocks=6))
    engine.add(0, 8, 8)
    engine.add(1, 8, 8)
    return engine


def test_no_evict_starts_a_request_only_when_it_can_end() -> None:
    assert steps(two_long("guaranteed_no_evict")) == [
        ([0], [], 0),
        *[NOTHING] * 6,
        ([], [0], 0),
        ([1], [], 0),
        *[NOTHING] * 6,
        ([], [1], 0),
    ]


def test_max_utilization_starts_both_and_pauses_the_later_one() -> None:
    assert steps(two_long("max_utilization")) == [
        ([0, 1], [], 0),  # 3 blocks each: 8 tokens and the next one
        *[NOTHING] * 3,
        ([], [], 1),  # token 13 of each needs another: the later one drops its three
        # its 8 + 4 tokens are computed again as soon as 4 blocks are free: when the first ends
        *[NOTHING] * 2,
        ([], [0], 0),
        NOTHING,
        *[NOTHING] * 2,
        ([], [1], 0),
    ]


def test_static_batch_waits_for_the_whole_batch() -> None:
    engine = Engine(small("static_batch", kv_blocks=100, max_batch_size=2))
    for number, length in enumerate([1, 3, 1]):
        engine.add(number, 4, length)
    assert steps(engine) == [([0, 1], [0], 0), ([], [], 0), ([], [1], 0), ([2], [2], 0)]


def test_a_long_prompt_is_computed_in_whole_blocks_between_others_tokens() -> None:
    engine = Engine(small(kv_blocks=100, max_num_tokens=10))
    engine.add(0, 4, 5)
    engine.step()
    engine.add(1, 20, 1)
    # 9 tokens are left beside the answer's: 8 are whole blocks, and the rest ends the prompt
    assert steps(engine) == [([], [], 0), ([], [], 0), ([1], [1], 0), ([], [0], 0)]


def test_without_chunks_a_prompt_waits_until_it_fits() -> None:
    engine = Engine(small(kv_blocks=100, max_num_tokens=10, chunked_context=False))
    engine.add(0, 4, 3)
    engine.step()
    engine.add(1, 10, 1)
    engine.add(2, 1, 1)
    assert steps(engine) == [([], [], 0), ([], [0], 0), ([1], [1], 0), ([2], [2], 0)]


@pytest.mark.parametrize(
    ("model", "prompt", "answer", "words"),
    [
        (small(kv_blocks=3), 8, 5, "more KV cache than there is"),
        (small(chunked_context=False), 17, 1, "17 tokens in one part exceed `max_num_tokens`, 16"),
        (small("max_utilization", chunked_context=False), 10, 8, "17 tokens in one part"),
        (small(), 0, 1, "a token of a prompt"),
        (small(), 1, 0, "one of an answer"),
    ],
)
def test_what_could_never_be_answered_is_refused(
    model: EngineModel, prompt: int, answer: int, words: str
) -> None:
    assert words in (model.refusal(prompt, answer) or "")


@pytest.mark.parametrize(
    ("model", "prompt", "answer"),
    [
        (small(kv_blocks=3), 8, 4),
        (small(chunked_context=False), 16, 8),
        (small("max_utilization", chunked_context=False), 10, 7),
    ],
)
def test_what_just_fits_is_answered(model: EngineModel, prompt: int, answer: int) -> None:
    assert model.refusal(prompt, answer) is None
    engine = Engine(model)
    engine.add(0, prompt, answer)
    assert steps(engine)[-1] == ([0] if answer == 1 else [], [0], 0)


def test_an_iteration_has_room_for_a_block() -> None:
    with pytest.raises(ValidationError, match="`max_num_tokens` must hold one block"):
        small(max_num_tokens=3)
