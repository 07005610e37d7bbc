"""The search against engines that are known: a queue by formula, and a simulated A30."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from benchmarks.search import Case
from harness.rules.scenario import Scenario
from harness.search.edge import ByPower
from harness.search.highest import Found, Goal, find_highest
from harness.search.outcome import ProbeOutcome, Step, Tail
from harness.simulation.foresight import p99_over

WHOLE = 10_000
Oracle = Callable[[Step], ProbeOutcome]


def goal(start: float = 10.0, highest: float = 1000.0, lowest: float = 0.1) -> Goal:
    return Goal(
        start=start,
        lowest=lowest,
        highest=highest,
        tolerance=0.03,
        whole=lambda rate: WHOLE,
        most_over=p99_over,
    )


def engine(edge: float, power: float = 4.0, blind: float = 0.0) -> Oracle:
    """Its load is 1 at `edge`; shorter probes see so much less of it."""

    def probe(step: Step) -> ProbeOutcome:
        load = (step.rate / edge) ** power
        whole = step.kind == "whole"
        load *= 1.0 if whole else 1.0 - blind
        lost = load > 1.5 or (whole and load >= 1.0)
        return ProbeOutcome(
            kind=step.kind,
            rate=step.rate,
            queries=step.queries,
            answered=step.queries // 2 if lost else step.queries,
            given_up=lost,
            ttft=Tail(limit_s=2.0, p99_s=2.0 * load, over=0),
            tpot=Tail(limit_s=0.1, p99_s=0.01, over=0),
            valid=(not lost) if whole else None,
        )

    return probe


def queries(found: Found) -> int:
    return sum(probe.answered for probe in found.probes)


@pytest.mark.parametrize("edge", [0.5, 3.0, 10.0, 11.0, 240.0])
@pytest.mark.parametrize("power", [2.5, 4.0, 15.0])
@pytest.mark.parametrize("blind", [0.0, 0.1])
def test_it_finds_the_edge_from_wherever_it_begins(edge: float, power: float, blind: float) -> None:
    found = find_highest(goal(), engine(edge, power, blind), ByPower())
    assert found.best is not None
    assert found.best.valid and found.best.kind == "whole"
    assert 0.96 * edge <= found.best.rate < edge
    assert not found.limited
    assert len(found.probes) <= 30


def test_probes_are_short_far_from_the_edge_and_whole_near_it() -> None:
    found = find_highest(goal(start=80.0), engine(10.0), ByPower())
    kinds = [probe.kind for probe in found.probes]
    assert kinds == sorted(kinds, key=("short", "long", "whole").index)
    assert queries(found) < 2.5 * WHOLE


def test_no_rate_is_valid() -> None:
    found = find_highest(goal(lowest=0.5), engine(0.01), ByPower())
    assert (found.best, found.limited) == (None, False)
    assert min(probe.rate for probe in found.probes) == 0.5
    assert {probe.kind for probe in found.probes} == {"short"}


def test_a_limit_beyond_what_is_allowed_is_told() -> None:
    found = find_highest(goal(highest=12.0), engine(100.0), ByPower())
    assert found.best is not None
    assert (found.best.rate, found.limited) == (12.0, True)


def test_an_engine_that_fails_ends_the_search() -> None:
    def dies(step: Step) -> ProbeOutcome:
        raise RuntimeError("dead")

    with pytest.raises(RuntimeError, match="dead"):
        find_highest(goal(), dies, ByPower())


def test_the_same_outcomes_ask_the_same_probes() -> None:
    """So a search that is started again meets the probes that it has made."""
    first = find_highest(goal(), engine(7.0, blind=0.1), ByPower())
    known = {probe.rate: probe for probe in first.probes}
    again = find_highest(goal(), lambda step: known[step.rate], ByPower())
    assert again == first


def test_runs_that_are_never_valid_come_to_an_end() -> None:
    """Whatever shorter probes say."""

    def never(step: Step) -> ProbeOutcome:
        outcome = engine(10.0)(step)
        return outcome.model_copy(update={"valid": False}) if step.kind == "whole" else outcome

    found = find_highest(goal(), never, ByPower())
    assert found.best is None
    assert len(found.probes) <= 40


class Told:
    """A foresight that says one edge after the other, and then the last one again."""

    def __init__(self, *edges: float) -> None:
        self._edges = edges

    def edge(self, probes: Sequence[ProbeOutcome]) -> float:
        return self._edges[min(len(probes), len(self._edges)) - 1]


def whole_rates(found: Found) -> list[float]:
    return [probe.rate for probe in found.probes if probe.kind == "whole"]


@pytest.mark.parametrize("after", [8.5, 9.2, 9.84])
def test_a_run_that_nearly_passed_is_followed_by_one_that_proves_the_edge(after: float) -> None:
    """However slow the engine seemed in the burst by which the first one ended."""
    found = find_highest(goal(), engine(9.8), Told(10.0, 10.0, after))
    first, second = whole_rates(found)
    assert first == 9.85
    assert found.best is not None and found.best.rate == second
    assert second < first <= 1.03 * second


def test_two_runs_that_nearly_passed_are_followed_by_one_that_proves_it_too() -> None:
    found = find_highest(goal(), engine(9.5), Told(10.0, 10.0, 8.0))
    first, second, third = whole_rates(found)
    assert first > second > 9.5 > third
    assert second <= 1.03 * third


def test_a_run_that_is_hopeless_is_followed_by_one_where_the_edge_seems_to_be() -> None:
    def lost_at_once(step: Step) -> ProbeOutcome:
        outcome = engine(8.0, power=15.0)(step)
        return outcome.model_copy(update={"answered": outcome.answered // 5})

    found = find_highest(goal(), lost_at_once, Told(10.0, 10.0, 8.0))
    assert whole_rates(found) == [9.85, 7.88]


@pytest.mark.not_counted
def test_on_a_simulated_a30_it_is_right_to_three_per_cent_for_a_fifth_of_the_queries() -> None:
    """Beside bisection by whole runs, with what is foretold going by a slower and a faster part:
    probes tell them apart, so that one whole run is enough.
    """
    case = Case(Scenario.SERVER, "int8_sq", 12, settings=("workload.num_samples=4000",))
    found, asked = case.searched()
    assert found.best is not None
    assert whole_rates(found) == [found.best.rate]
    assert case.whole(found.best.rate)[0]
    assert not case.whole(found.best.rate / 0.97)[0]
    assert asked <= case.bisected(0.03)[1] / 5
