"""A plan's engine as a simulated one: its iterations, beside the formulas of the plan."""

from __future__ import annotations

import pytest

from build_engine.roofline.costs import Overhead
from build_engine.roofline.limits import Efficiency
from build_engine.roofline.peaks import Peaks
from build_engine.roofline.rate import Rate
from harness.plan.choice import PlanChoice
from harness.plan.forecast import roofline
from harness.plan.plan import make_plan
from harness.rules.rounds import DEFAULT, load_round
from harness.simulation.engine import planned_engine
from runtime.simulated.time_model import Work

ROUND = load_round(DEFAULT)
STEPS = Overhead(iteration_s=1e-3, prompt_token_s=0.0, answer_token_s=0.0, cached_token_s=0.0)


@pytest.mark.parametrize("requests", [1, 16])
def test_a_step_of_answers_takes_as_long_as_the_plan_says(requests: int) -> None:
    """On a machine that multiplies few rows more slowly, of the head and of attention too."""
    choice = PlanChoice(model="newsbrief", recipe="int8_wo", target="cpu", workload=None)
    plan = make_plan(choice.asked(ROUND)[0], ROUND)
    storage, slow = plan.asked.storage, Rate(((1, 1e9), (16, 4e9), (2048, 4e11)))
    precisions = (storage.linear_math, storage.other_math)
    peaks = Peaks(
        dict.fromkeys(precisions, slow.best),
        28e9,
        "measured here",
        by_rows=dict.fromkeys(precisions, slow),
    )
    limits = roofline(plan.asked, peaks, requests)
    model = planned_engine(plan, peaks, Efficiency(0.8, 0.9, STEPS))
    assert limits is not None and model is not None
    lengths = plan.asked.lengths
    cached = round(lengths.prompt + lengths.answer / 2)
    work = Work(requests, requests * cached, requests, requests * cached)
    traffic_s = limits.weights_s + requests * limits.kv_s / lengths.answer
    arithmetic_s = requests * limits.answer_s / (lengths.answer - 1)
    step_s = arithmetic_s / 0.8 + traffic_s / 0.9 + STEPS.iteration_s
    assert model.time.seconds(work) == pytest.approx(step_s, rel=0.005)
