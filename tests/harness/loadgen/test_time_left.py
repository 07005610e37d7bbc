"""The time left, held against what an engine of known costs then takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from harness.figures import ProgressFigures
from harness.loadgen.job import Probe
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.time_left import TimeLeft
from harness.rules.scenario import Scenario
from tests.harness.figures import make_figures

PROMPT, ANSWER, LONGEST = 1500, 70, 128


@dataclass
class Batching:
    """An engine that reads 2,000 prompt tokens in a second, and makes a token for each of `batch`
    requests in 0.05 s, beside a part of a prompt.
    """

    num_queries: int
    batch: int = 64

    def moments(self) -> list[tuple[ProgressFigures, list[tuple[int, float, float, int]]]]:
        """The figures and the ended answers of each step."""
        waiting = self.num_queries * PROMPT
        running: list[int] = []
        told = []
        elapsed_s, read, made, done = 0.0, 0, 0, 0
        while done < self.num_queries:
            room = (self.batch - len(running)) * PROMPT - read % PROMPT
            part = min(2048 - len(running), waiting, room)
            elapsed_s += part / 2000 + 0.05 * bool(running)
            waiting -= part
            before, read = read // PROMPT, read + part
            running = [left - 1 for left in running] + [ANSWER - 1] * (read // PROMPT - before)
            made += len(running)
            ended = [(0, 0.0, 0.0, ANSWER)] * sum(left == 0 for left in running)
            running = [left for left in running if left]
            done += len(ended)
            figures = make_figures(
                elapsed_s=elapsed_s,
                issued=self.num_queries,
                done=done,
                tokens=made,
                prompt_tokens=read,
                prompt_tokens_issued=self.num_queries * PROMPT,
            )
            told.append((figures, ended))
        return told


@pytest.mark.parametrize("queries", [40, 400])
@pytest.mark.parametrize("guess", [0.5, 1.0, 2.0])
def test_it_finds_what_is_left_before_many_answers_have_ended(queries: int, guess: float) -> None:
    moments = Batching(queries).moments()
    total_s = moments[-1][0].elapsed_s
    left = TimeLeft(queries, guess * total_s / queries, ANSWER, LONGEST)
    told = [(left.after(*moment), total_s - moment[0].elapsed_s) for moment in moments]
    assert all(found is not None and found >= 0 for found, _ in told)
    for found, true_s in told[len(told) // 2 :: 7]:
        assert found == pytest.approx(true_s, abs=0.1 * total_s)
    if guess == 1.0:
        for found, true_s in told:
            assert found == pytest.approx(true_s, abs=0.15 * total_s)


def test_before_anything_came_nothing_is_told() -> None:
    left = TimeLeft(40, 1.0, ANSWER, LONGEST)
    assert left.after(make_figures(elapsed_s=5.0, issued=40, prompt_tokens_issued=6000)) is None


def test_time_in_which_nothing_came_counts() -> None:
    """A step of an engine is longer than the time between two figures."""
    told = {}
    for every in (1, 4):
        left = TimeLeft(100, 1.0, 10, 20)
        for moment in range(41):
            step = moment - moment % 4
            figures = make_figures(
                elapsed_s=0.5 * moment,
                issued=100,
                prompt_tokens=step * 25,
                prompt_tokens_issued=10_000,
            )
            if moment % every == 0:
                told[every] = left.after(figures)
    assert told[1] == told[4]


def test_answers_longer_than_expected_are_not_over_before_they_end() -> None:
    left = TimeLeft(2, 1.0, 10, 128)
    figures = make_figures(
        elapsed_s=9.0, issued=2, done=1, tokens=90, prompt_tokens=20, prompt_tokens_issued=20
    )
    told = left.after(figures, [(0, 1.0, 8.0, 20)])
    assert told is not None
    assert told > 0.0
    whole = replace(figures, elapsed_s=14.0, tokens=148)
    assert left.after(whole) == 0.0


def plan(scenario: Scenario, **fields: object) -> LoadgenPlan:
    values: dict[str, object] = {"mode": "performance", "model": "m", "num_samples": 10, **fields}
    return LoadgenPlan(scenario=scenario, min_duration_s=60.0, min_query_count=100, **values)  # type: ignore[arg-type]


PROBE = Probe(load_s=1.0, latency_s=2.0, samples_per_s=4.0, prefix_caching=False)
SOME = make_figures(elapsed_s=20.0, issued=10, done=10, tokens=70, prompt_tokens=100)


def test_a_server_waits_for_its_queries() -> None:
    left = TimeLeft.of(plan(Scenario.SERVER, target_qps=1.0), PROBE, ANSWER, LONGEST)
    assert left.after(SOME) == pytest.approx(90.0)
    assert left.num_queries == 100


def test_a_test_by_the_clock_ends_by_the_clock() -> None:
    of_clock = plan(Scenario.SINGLE_STREAM, expected_latency_s=2.0)
    assert TimeLeft.of(of_clock, PROBE, ANSWER, LONGEST).after(SOME) == 40.0
    late = make_figures(elapsed_s=61.0, tokens=70)
    assert TimeLeft.of(of_clock, PROBE, ANSWER, LONGEST).after(late) == 0.0


def test_an_audit_asks_for_fewer_than_the_plan() -> None:
    assert TimeLeft.of(plan(Scenario.OFFLINE), PROBE, ANSWER, LONGEST, 7).num_queries == 7
