"""What a search knows of the edge before it is there: the engine of its probes in virtual time, at
the pace that they show.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from build_engine.errors import ConfigError
from build_engine.roofline.peaks import Peaks
from harness.machine.measured import known_peaks
from harness.search.edge import ByPower
from harness.simulation.arrivals import arrivals_s
from harness.simulation.engine import likely_engine
from harness.simulation.foresight import Foresight, Pace, Shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.loadgen.settings import LoadgenPlan
    from harness.plan.asked import Asked
    from harness.rules.limits import ScenarioLimits
    from harness.rules.rounds import Seeds
    from harness.search.highest import Foretells
    from harness.search.outcome import ProbeOutcome
    from harness.simulation.foresight import MostOver
    from runtime.simulated.model import EngineModel

# Of a processor that nobody measured: how fast it is the probes tell, and how its arithmetic
# compares with its memory (measured on one of two cores: 0.39 TFLOP/s beside 28 GB/s) changes
# what is foretold little.
_SOME_CPU = (0.4e12, 28e9)
_FAR = 0.05  # counts what is far from the edge, beside what is near
_LEAST_LOAD = 1e-3


def foretelling(
    asked: Asked | None,
    prompts: Sequence[int],
    limits: ScenarioLimits,
    seeds: Seeds,
    whole: Callable[[float], LoadgenPlan],
    most_over: MostOver,
) -> Foretells:
    """What is known of an engine, asked prompts of so many tokens each, in whole runs by `whole`;
    of one that no plan is known of (`asked` is None) little.
    """
    model = _model(asked, prompts) if asked else None
    if asked is None or model is None:
        return ByPower()
    assert limits.ttft_ms is not None and limits.tpot_ms is not None, "a scenario with a rate"
    foresight = Foresight(
        model=model,
        prompts=prompts,
        answers=[asked.workload.max_new_tokens] * len(prompts),
        seeds=seeds,
        ttft_s=limits.ttft_ms / 1e3,
        tpot_s=limits.tpot_ms / 1e3,
    )
    return Foreseen(foresight, whole, most_over)


def num_asked(plan: LoadgenPlan, seeds: Seeds) -> int:
    """The queries that LoadGen asks at a rate: it goes on until the duration is full by the times
    that it draws, and with equal issue until the pass is whole, which may be a pass more than the
    rate alone tells.
    """
    times = arrivals_s(plan, seeds)
    assert times is not None, "a scenario with a rate"
    return len(times)


class Foreseen:
    """See `Foretells`; by virtual time. `whole` is a whole run's test at a rate, and `most_over`
    how many of so many answers may be beyond a limit there.
    """

    def __init__(
        self, foresight: Foresight, whole: Callable[[float], LoadgenPlan], most_over: MostOver
    ) -> None:
        self._foresight = foresight
        self._whole = whole
        self._most_over = most_over
        self._known: dict[ProbeOutcome, Pace] = {}
        self._pace, self._edge = Pace(), 0.0

    def edge(self, probes: Sequence[ProbeOutcome]) -> float:
        """See `Foretells.edge`."""
        for probe in probes:
            if probe not in self._known:
                self._known[probe] = self._pace_of(probe)
                self._pace = self._mean()
        near = self._edge or probes[-1].rate
        self._edge = self._foresight.highest(self._whole, self._pace, self._most_over, near)
        return self._edge

    def _pace_of(self, probe: ProbeOutcome) -> Pace:
        plan = self._whole(probe.rate)
        if probe.kind != "whole":
            plan = plan.shortened(probe.queries)
        if not probe.answered:
            return self._pace
        return self._foresight.pace(plan, _shown(probe), self._pace)

    def _mean(self) -> Pace:
        """Of the paces so far."""
        weights = [_weight(number, probe) for number, probe in enumerate(self._known)]
        mean, skew = (
            sum(map(operator.mul, weights, values)) / sum(weights)
            for values in zip(*((p.mean, p.skew) for p in self._known.values()), strict=True)
        )
        return Pace.of(mean, skew)


def _shown(probe: ProbeOutcome) -> Shown:
    middle = [tail.p50_s / tail.limit_s for tail in (probe.ttft, probe.tpot) if tail.p50_s]
    return Shown(probe.answered, probe.load, (middle[0], middle[1]) if len(middle) > 1 else None)


def _weight(number: int, probe: ProbeOutcome) -> float:
    """What a probe counts: the more the longer it is, as it meets more of what a whole run does,
    the nearer to the edge, and the later, as a machine may not be as busy as it was.
    """
    off = math.log(max(probe.load, _LEAST_LOAD))
    return (probe.answered + 1) ** 2 * 2.0**number * (math.exp(-(off**2)) + _FAR)


def _model(asked: Asked, prompts: Sequence[int]) -> EngineModel | None:
    """The engine for these prompts; None where its backend does not say how it computes."""
    mean = sum(prompts) / len(prompts)
    workload = asked.workload.model_copy(update={"mean_input_tokens": mean})
    asked = replace(asked, workload=workload)
    try:
        storage = asked.storage
        flops, bandwidth = _SOME_CPU
        some = Peaks(
            dict.fromkeys((storage.linear_math, storage.other_math), flops), bandwidth, "assumed"
        )
        known = known_peaks(asked.target)
        model = likely_engine(asked, known) if known else None
        model = model or likely_engine(asked, some)
    except ConfigError:
        return None
    if model and any(model.refusal(prompt, workload.max_new_tokens) for prompt in prompts):
        return None
    return model
