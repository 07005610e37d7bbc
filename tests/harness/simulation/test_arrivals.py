"""When LoadGen issues its queries, against LoadGen itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.null_system import loadgen_order, null_test
from harness.loadgen.settings import LoadgenPlan
from harness.rules.rounds import DEFAULT, load_round
from harness.rules.scenario import Scenario
from harness.simulation.arrivals import arrivals_s, samples

SEEDS = load_round(DEFAULT).loadgen.seeds
SERVER = LoadgenPlan(
    scenario=Scenario.SERVER,
    mode="performance",
    model="newsbrief",
    num_samples=40,
    min_duration_s=0.3,
    min_query_count=25,
    target_qps=400.0,
    ttft_ms=500.0,
    tpot_ms=30.0,
)


@pytest.mark.parametrize(
    "plan",
    [
        SERVER,  # the duration decides
        replace(SERVER, min_query_count=170),
        replace(SERVER, equal_issue=True),
        replace(SERVER, equal_issue=True, min_query_count=161),
        replace(SERVER, equal_issue=True, min_query_count=160, target_qps=600.0),
        replace(SERVER, min_duration_s=0.0, min_query_count=2),
    ],
    ids=lambda plan: f"{plan.min_query_count}-{plan.equal_issue}-{plan.target_qps:g}",
)
def test_loadgen_draws_as_many_queries_over_the_same_time(
    tmp_path: Path, plan: LoadgenPlan
) -> None:
    logged = null_test(plan, tmp_path / "test", 2)
    times = arrivals_s(plan, SEEDS)
    assert times is not None
    assert len(times) == logged["generated_query_count"]
    # LoadGen logs when the query after the last would have come
    following = arrivals_s(
        replace(plan, min_duration_s=0.0, min_query_count=len(times) + 1, equal_issue=False), SEEDS
    )
    assert following is not None
    assert times.tolist() == following[:-1].tolist()
    assert round(following[-1] * 1e9) == logged["generated_query_duration"]


@pytest.mark.parametrize(
    "plan",
    [
        replace(SERVER, min_query_count=90),
        replace(SERVER, num_samples=41, equal_issue=True, min_query_count=90),
        replace(SERVER, num_samples=70_000, min_duration_s=0.0),  # a word is too small for two
    ],
    ids=lambda plan: f"{plan.num_samples}-{plan.equal_issue}",
)
def test_loadgen_draws_the_same_samples(plan: LoadgenPlan) -> None:
    drawn = loadgen_order(plan)
    assert samples(plan, len(drawn), SEEDS).tolist() == drawn


def test_offline_asks_for_all_at_once_and_single_stream_waits() -> None:
    offline = replace(SERVER, scenario=Scenario.OFFLINE, min_query_count=90, min_duration_s=0.0)
    times = arrivals_s(offline, SEEDS)
    assert times is not None
    assert times.tolist() == [0.0] * 90
    assert arrivals_s(replace(SERVER, scenario=Scenario.SINGLE_STREAM), SEEDS) is None


def test_whole_passes_have_every_sample_equally_often() -> None:
    drawn = samples(replace(SERVER, equal_issue=True, min_query_count=120), 120, SEEDS)
    assert np.bincount(drawn).tolist() == [3] * 40
    assert sorted(drawn[:40]) == list(range(40))
    assert drawn[:40].tolist() != drawn[40:80].tolist()


def test_without_them_offline_goes_by_the_dataset_and_server_by_chance() -> None:
    offline = replace(SERVER, scenario=Scenario.OFFLINE)
    assert samples(offline, 42, SEEDS).tolist() == [*range(40), 0, 1]
    counts = np.bincount(samples(SERVER, 4000, SEEDS), minlength=40)
    assert 0 < counts.min() < 100 < counts.max()
