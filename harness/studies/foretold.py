"""How long a run of a sweep takes that nobody has made yet, by the plan of its engine."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from harness.loadgen.job import Probe
from harness.machine.measured import known_peaks
from harness.plan.choice import asked_as_built
from harness.plan.plan import make_plan
from harness.rules.rounds import load_round
from harness.runs.asking import MODES
from harness.runs.scope import RunScope
from harness.studies.rate import server_rate

if TYPE_CHECKING:
    from harness.plan.forecast import Forecast
    from harness.studies.choice import WantedEngine
    from harness.studies.sweep import Planned, SweepPlan


@dataclass(frozen=True)
class Foretold:
    """What plans tell of a sweep; `rate` is that of Server where it is known already."""

    plan: SweepPlan
    rate: float | None

    def seconds(self, planned: Planned) -> float | None:
        """Of the tests of a point, at the typical speed and with answers as long as they may be,
        without loading the engine; None where too little is known.
        """
        seen, samples = self._forecasts.get(planned.wanted.label), self._num_samples
        if seen is None or samples is None:
            return None
        scope = RunScope(
            workload=self.plan.workload,
            scenario=planned.point.scenario,
            num_samples=samples,
            qps=self._qps if planned.point.scenario.has_rate else None,
            duration_s=self.plan.choice.duration_s,
            round=load_round(self.plan.choice.round),
        )
        probe = Probe(0.0, seen.single_stream.likely_s.typical, self._samples_per_s(seen))
        return sum(
            scope.plan(mode, probe).expected_duration_s(probe.samples_per_s, probe.latency_s)
            for mode in MODES[planned.mode]
        )

    @property
    def _num_samples(self) -> int | None:
        """None for a user's own file, which is not looked into."""
        choice = self.plan.choice
        return choice.count or (None if choice.dataset else self.plan.workload.num_samples)

    @property
    def _qps(self) -> float | None:
        """As it is chosen: by the first engine."""
        if self.rate is not None:
            return self.rate
        first = self._forecasts.get(self.plan.wanted_engines[0].label)
        return server_rate(self._samples_per_s(first)) if first else None

    def _samples_per_s(self, seen: Forecast) -> float:
        return seen.offline.likely.typical / self.plan.workload.max_new_tokens

    @cached_property
    def _forecasts(self) -> dict[str, Forecast]:
        """Of the engines that have one."""
        found = {wanted.label: self._forecast(wanted) for wanted in self.plan.wanted_engines}
        return {label: seen for label, seen in found.items() if seen is not None}

    def _forecast(self, wanted: WantedEngine) -> Forecast | None:
        chosen = load_round(self.plan.choice.round)
        if wanted.emulated:
            return None
        asked = asked_as_built(wanted.choice, self.plan.choice.workload, chosen)
        if asked is None:
            return None
        try:
            return make_plan(asked, chosen, known_peaks(asked.target)).forecast
        except EnginebenchError:  # it would be told where somebody asks for a plan
            return None
