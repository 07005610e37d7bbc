"""A clock for the silence of others does not count what it slept through."""

from __future__ import annotations

import pytest

from runtime.awake import MOST_STEP_S, AwakeClock


def test_a_stop_of_our_own_is_a_step_and_no_more() -> None:
    times = iter([100.0, 100.5, 102.0, 5000.0, 5001.0])
    clock = AwakeClock(lambda: next(times))
    assert [clock() for _ in range(4)] == pytest.approx(
        [0.5, 2.0, 2.0 + MOST_STEP_S, 3.0 + MOST_STEP_S]
    )
