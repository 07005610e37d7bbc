"""Which limits of the scheduler are tried, and when they are called better."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from harness.search.outcome import ProbeOutcome, RuntimeLimits, Step, Tail
from harness.search.tuning import candidates, tune

OWN = RuntimeLimits(max_batch_size=64, max_num_tokens=2048)
STEP = Step(kind="long", rate=9.0, queries=500, most_over=20)


def limits(batch: int, tokens: int) -> RuntimeLimits:
    return RuntimeLimits(max_batch_size=batch, max_num_tokens=tokens)


def engine(load: Callable[[Step], float], asked: list[Step]) -> Callable[[Step], ProbeOutcome]:
    def probe(step: Step) -> ProbeOutcome:
        asked.append(step)
        return ProbeOutcome(
            kind=step.kind,
            rate=step.rate,
            queries=step.queries,
            limits=step.limits,
            turn=step.turn,
            answered=step.queries,
            given_up=False,
            ttft=Tail(limit_s=2.0, p99_s=2.0 * load(step), over=0),
            tpot=Tail(limit_s=0.1, p99_s=0.01, over=0),
        )

    return probe


def test_limits_are_tried_within_those_of_the_engine() -> None:
    tried = candidates(OWN, least_tokens=1)
    assert tried == (limits(64, 1024), limits(64, 512), limits(32, 2048), limits(32, 1024))


def test_a_prompt_that_is_not_computed_in_parts_must_fit() -> None:
    assert candidates(OWN, least_tokens=600) == (
        limits(64, 1024),
        limits(32, 2048),
        limits(32, 1024),
    )
    assert candidates(limits(1, 100), least_tokens=1) == ()


def test_better_limits_are_told_from_the_engines_own() -> None:
    asked: list[Step] = []
    tried = candidates(OWN, 1)
    found = tune(
        OWN, tried, STEP, engine(lambda step: 0.8 if step.limits == tried[2] else 1.0, asked)
    )
    assert (found.best, found.told_apart, found.rate) == (tried[2], True, None)
    assert found.gain == pytest.approx(0.25)
    assert found.load == pytest.approx(0.8)
    assert found.doubt == 0.0
    assert {(step.rate, step.queries, step.most_over) for step in asked} == {(9.0, 500, 20)}
    assert [(step.limits, step.turn) for step in asked] == [
        (None, 0),
        *((each, 0) for each in tried),
        (tried[2], 1),
        (None, 1),
    ]


@pytest.mark.parametrize("apart", [0.015, -0.3])
def test_little_better_or_worse_is_not_better(apart: float) -> None:
    found = tune(
        OWN, candidates(OWN, 1), STEP, engine(lambda step: 1.0 - apart * bool(step.limits), [])
    )
    assert not found.told_apart


def test_what_equal_probes_differ_by_is_doubt() -> None:
    """The engine's own limits seem 25 % worse at first, and as good when they are probed again."""
    loads: dict[tuple[RuntimeLimits | None, int], float] = {(None, 0): 1.0, (None, 1): 0.75}
    found = tune(
        OWN,
        candidates(OWN, 1),
        STEP,
        engine(lambda step: loads.get((step.limits, step.turn), 0.8), []),
    )
    assert found.gain > 0.02
    assert not found.told_apart


def test_a_record_says_nothing_of_limits_that_are_the_engines_own() -> None:
    """So the seals of records from before there was tuning hold."""
    plain = engine(lambda step: 1.0, [])(STEP)
    assert not {"limits", "turn"} & plain.model_dump(mode="json").keys()
    assert not {"limits", "turn"} & STEP.model_dump(mode="json").keys()
    other = STEP.model_copy(update={"limits": OWN, "turn": 1}).model_dump(mode="json")
    assert Step.model_validate(other).limits == OWN
