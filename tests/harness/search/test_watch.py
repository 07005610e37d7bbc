"""How many answers beyond a limit are too many, and what a probe is said to have shown."""

from __future__ import annotations

import pytest

from build_engine.validation import Invalid, validated
from harness.search.outcome import ProbeOutcome, Step
from harness.search.watch import Watch
from harness.simulation.early_stopping import most_over_early
from harness.simulation.foresight import p99_over

STEP = Step(kind="short", rate=2.0, queries=200, most_over=3)


def test_p99_leaves_a_hundredth_less_one() -> None:
    """LoadGen takes the value at 99 of 100, which must be below the limit."""
    assert [p99_over(n) for n in (1, 99, 100, 200, 13_368)] == [0, 0, 0, 1, 133]


def test_early_stopping_allows_less() -> None:
    """459 without one is LoadGen's least; 107 of 13,368 and 229 of 26,736 are the most."""
    assert [most_over_early(n) for n in (458, 459, 13_368, 26_736)] == [-1, 0, 107, 229]
    assert most_over_early(200_000) < p99_over(200_000)


def test_a_probe_is_lost_by_one_latency_alone() -> None:
    watch = Watch(1.0, 0.1, most=3)
    for _ in range(3):
        watch.add(2.0, 2.0 + 99 * 0.05, 100)  # TTFT beyond
        watch.add(0.5, 0.5 + 99 * 0.1, 100)  # TPOT exactly at its limit, which is beyond
    assert not watch.lost
    watch.add(1.0, 1.0, 1)  # exactly at the limit; no TPOT
    assert watch.lost
    outcome = watch.outcome(STEP, given_up=True)
    assert (outcome.answered, outcome.ttft.over, outcome.tpot.over) == (7, 4, 3)
    assert outcome.ttft.p99_s == 2.0
    assert outcome.ttft.p50_s == 1.0
    assert outcome.tpot.p50_s == pytest.approx(0.1)
    assert outcome.load == 2.0
    assert (outcome.passes, outcome.verdict) == (False, "given up")


@pytest.mark.parametrize(
    ("ttft_s", "passes", "verdict"), [(0.99, True, "within"), (1.0, False, "beyond")]
)
def test_a_short_probe_passes_within_the_limits(ttft_s: float, passes: bool, verdict: str) -> None:
    watch = Watch(1.0, 0.1, most=3)
    for _ in range(3):
        watch.add(ttft_s, 2.0, 100)
    outcome = watch.outcome(STEP, given_up=False)
    assert (outcome.passes, outcome.verdict) == (passes, verdict)


def test_a_test_may_have_more_queries_than_were_planned() -> None:
    """LoadGen goes on until the minimum duration is full."""
    watch = Watch(1.0, 0.1, most=3)
    for _ in range(STEP.queries + 71):
        watch.add(0.5, 2.0, 100)
    outcome = watch.outcome(STEP, given_up=False)
    assert outcome.answered == outcome.queries == 271


def test_nothing_seen_is_no_load() -> None:
    outcome = Watch(1.0, 0.1, most=0).outcome(STEP, given_up=False)
    assert outcome.load == 0.0
    assert "p50_s" not in outcome.model_dump(mode="json")["ttft"]  # as older searches wrote it


def test_only_a_whole_run_is_valid() -> None:
    found = Watch(1.0, 0.1, most=3).outcome(STEP, given_up=False).model_dump(mode="json")
    with pytest.raises(Invalid, match="only a whole run"):
        validated(ProbeOutcome, found | {"valid": True})
    with pytest.raises(Invalid, match="more than `queries`"):
        validated(ProbeOutcome, found | {"answered": 201})
