"""A simulated engine in virtual time: cases by hand."""

from __future__ import annotations

import numpy as np
import pytest

from build_engine.errors import UsageError
from runtime.simulated.model import EngineModel
from runtime.simulated.time_model import Work
from runtime.simulated.virtual import Answered, Load, drive
from tests.runtime.simulated.models import PLAIN, small


def answered(
    model: EngineModel, requests: list[tuple[int, int]], arrivals_s: list[float] | None
) -> Answered:
    prompts, answers = np.array(requests).T
    arrivals = None if arrivals_s is None else np.array(arrivals_s)
    return drive(model, Load(prompts=prompts, answers=answers, arrivals_s=arrivals))


def test_one_request_takes_its_prompt_and_then_each_token() -> None:
    model = small(time=PLAIN)
    done = answered(model, [(6, 3)], [5.0])
    prompt_s = PLAIN.seconds(Work(tokens=6, pairs=18, sampled=1, read=0))
    second_s = PLAIN.seconds(Work(tokens=1, pairs=7, sampled=1, read=7))
    third_s = PLAIN.seconds(Work(tokens=1, pairs=8, sampled=1, read=8))
    assert done.arrived_s.tolist() == [5.0]
    assert done.first_s.tolist() == pytest.approx([5.0 + prompt_s])
    assert done.last_s.tolist() == pytest.approx([5.0 + prompt_s + second_s + third_s])
    assert done.num_iterations == 3


def test_the_clock_jumps_to_an_arrival_and_waits_for_an_iteration() -> None:
    # of 0.01 s each; the second arrives within the first's last iteration, the third much later
    done = answered(small(), [(4, 2), (4, 1), (4, 1)], [1.0, 1.015, 9.0])
    assert done.first_s.tolist() == pytest.approx([1.01, 1.03, 9.01])
    assert done.last_s.tolist() == pytest.approx([1.02, 1.03, 9.01])


def test_one_at_a_time_each_comes_when_the_last_has_ended() -> None:
    done = answered(small(), [(4, 2), (4, 3), (4, 1)], None)
    assert done.arrived_s.tolist() == pytest.approx([0.0, 0.02, 0.05])
    assert done.last_s.tolist() == pytest.approx([0.02, 0.05, 0.06])


def test_what_could_never_be_answered_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot answer: a prompt of 90 and an answer of 2 need"):
        answered(small(), [(4, 2), (90, 2)], [0.0, 0.0])
