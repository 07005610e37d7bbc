"""How long the tests of each scenario take, and how many queries LoadGen asks in them; or why that
cannot be said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.loadgen.job import Probe
from harness.runs.scope import RunScope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.loadgen.settings import Mode
    from harness.plan.asked import Asked
    from harness.plan.forecast import Forecast
    from harness.rules.rounds import Round
    from harness.rules.scenario import Scenario


_ENDS = ("low", "typical", "high")
_EFFICIENCIES = ("least", "middle", "best")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioTimes:
    """Seconds of both tests of a scenario over the whole dataset, from the best that is likely to
    the least. `queries` are those of the performance test, at the typical speed.
    """

    scenario: Scenario
    queries: int
    performance_s: tuple[float, float]
    accuracy_s: tuple[float, float]


@dataclass(frozen=True, slots=True)
class _Speed:
    """What a warm-up would show, and the rate that queries would be sent at."""

    samples_per_s: float
    latency_s: float
    rate: float | None


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
        worst, typical, best = (_Tests(asked, scenario, speed, chosen) for speed in speeds)
        found.append(
            ScenarioTimes(
                scenario=scenario,
                queries=typical.queries,
                performance_s=(best.seconds("performance"), worst.seconds("performance")),
                accuracy_s=(best.seconds("accuracy"), worst.seconds("accuracy")),
            )
        )
    return found, untimed


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
    tokens, offline = asked.workload.max_new_tokens, seen.offline.likely
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
