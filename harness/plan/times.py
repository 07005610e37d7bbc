"""How long the tests of each scenario take, and how many queries LoadGen asks in them; or why that
cannot be said.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from harness.loadgen.job import Probe
from harness.runs.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from harness.loadgen.settings import Mode
    from harness.plan.asked import Asked
    from harness.plan.forecast import Forecast
    from harness.rules.rounds import Round
    from harness.rules.scenario import Scenario


_ENDS = ("low", "typical", "high")
_EFFICIENCIES = ("least", "middle", "best")
_HALVINGS = 12  # of the way from the least speed to the best: to a 4,096th of it
_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTimes:
    """Seconds of both tests of a scenario over the whole dataset, and queries of the performance
    test: of each the least and the most at any speed that is likely.
    """

    scenario: Scenario
    queries: tuple[int, int]
    performance_s: tuple[float, float]
    accuracy_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Speed:
    """What a warm-up would show, and the rate that queries would be sent at."""

    samples_per_s: float
    latency_s: float
    rate: float | None

    def towards(self, other: _Speed, share: float) -> _Speed:
        """What lies this share of the way to `other`."""
        rates = (self.rate, other.rate)
        return _Speed(
            _between(self.samples_per_s, other.samples_per_s, share),
            _between(self.latency_s, other.latency_s, share),
            None if None in rates else _between(self.rate or 0.0, other.rate or 0.0, share),
        )


@dataclass(frozen=True, slots=True)
class Untimed:
    """A scenario whose tests have no length, and why: the end of a sentence."""

    scenario: Scenario
    reason: str


def scenario_times(
    asked: Asked, seen: Forecast, chosen: Round
) -> tuple[list[ScenarioTimes], list[Untimed]]:
    """Of each scenario of the workload: those that the engine can serve at every efficiency that is
    likely, and the others.
    """
    found, untimed = [], []
    for scenario in asked.workload.scenarios:
        speeds = _speeds(asked, seen, scenario)
        if reason := _untimed(seen, scenario, speeds):
            untimed.append(Untimed(scenario, reason))
            continue
        tests = [_Tests(asked, scenario, speed, chosen) for speed in speeds]
        tests += _turn(tests[0], tests[-1])
        found.append(
            ScenarioTimes(
                scenario=scenario,
                queries=_ends(each.queries for each in tests),
                performance_s=_ends(each.seconds("performance") for each in tests),
                accuracy_s=_ends(each.seconds("accuracy") for each in tests),
            )
        )
    return found, untimed


def _turn(least: _Tests, best: _Tests) -> list[_Tests]:
    """The tests just before and just after the first speed at which LoadGen asks more queries than
    of the least one; none where it asks as many of the best. A faster engine is asked sooner to
    begin one more pass over the dataset, so its test may take longer; of all further passes each is
    a smaller part of the test, and none makes it longer or shorter than the first.
    """
    few = least.queries
    if best.queries == few:
        return []
    below, above = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (below + above) / 2
        if least.towards(best, middle).queries == few:
            below = middle
        else:
            above = middle
    return [least.towards(best, below), least.towards(best, above)]


def _ends(found: Iterable[_Number]) -> tuple[_Number, _Number]:
    ordered = sorted(found)
    return ordered[0], ordered[-1]


def _between(start: float, end: float, share: float) -> float:
    return start + share * (end - start)


def _untimed(seen: Forecast, scenario: Scenario, speeds: Sequence[_Speed]) -> str:
    """Why there is a speed at which the tests have no end; "" where there is none."""
    slow = [name for name, speed in zip(_EFFICIENCIES, speeds, strict=True) if speed.rate == 0]
    if len(slow) == len(speeds):
        return f"no rate keeps its limit of {seen.rates[scenario].bound}"
    if slow:
        return f"at the {' and the '.join(slow)} efficiency that is likely no rate keeps its limits"
    if any(speed.samples_per_s == 0 for speed in speeds):
        return "no request of mean length fits"
    return ""


def _speeds(asked: Asked, seen: Forecast, scenario: Scenario) -> list[_Speed]:
    """At the least, the middle and the best efficiency."""
    tokens, offline = asked.lengths.answer, seen.offline.likely
    latency, rates = seen.single_stream.likely_s, seen.rates.get(scenario)
    return [
        _Speed(
            getattr(offline, name) / tokens,
            getattr(latency, name),
            getattr(rates.likely, name) if rates else None,
        )
        for name in _ENDS
    ]


@dataclass(frozen=True, slots=True)
class _Tests:
    """Both tests of a scenario at one speed."""

    asked: Asked
    scenario: Scenario
    speed: _Speed
    round: Round

    def towards(self, other: _Tests, share: float) -> _Tests:
        """Those at the speed that lies this share of the way to `other`."""
        return replace(self, speed=self.speed.towards(other.speed, share))

    @property
    def queries(self) -> int:
        """Of the performance test."""
        return self._scope.plan("performance", self._probe).num_queries

    def seconds(self, mode: Mode) -> float:
        """Of one test."""
        probe = self._probe
        plan = self._scope.plan(mode, probe)
        return plan.expected_duration_s(probe.samples_per_s, probe.latency_s)

    @property
    def _probe(self) -> Probe:
        return Probe(0.0, self.speed.latency_s, self.speed.samples_per_s)

    @property
    def _scope(self) -> RunScope:
        return RunScope(
            workload=self.asked.workload,
            scenario=self.scenario,
            num_samples=self.asked.workload.num_samples,
            qps=self.speed.rate,
            round=self.round,
        )
