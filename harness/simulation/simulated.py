"""A performance test in virtual time: what LoadGen would ask for, answered by a simulated engine.

Its figures have the names and the definitions of LoadGen's, and the mark of a simulated run. It
keeps nothing on disk, so nothing of it can be packed or compared with what was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from build_engine.errors import UsageError
from build_engine.validation import Frozen
from harness.loadgen.metrics import Metrics
from harness.rules.verdict import Verdict
from harness.runs.conditions.performance import enough_queries, latency
from harness.simulation.arrivals import arrivals_s, samples
from harness.simulation.early_stopping import early_p99
from runtime.simulated.virtual import Load, drive

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from harness.loadgen.settings import LoadgenPlan
    from harness.rules.limits import ScenarioLimits
    from harness.rules.rounds import Seeds
    from harness.rules.scenario import Scenario
    from runtime.simulated.model import EngineModel
    from runtime.simulated.virtual import Answered, GiveUp

    Seconds = NDArray[np.float64]

_PERCENTILES = (50, 90, 99)


class SimulatedTest(Frozen):
    """One test and its figures, in seconds of the simulated device."""

    mark: Literal["simulated"] = "simulated"
    num_queries: int
    duration_s: float
    """Until the last answer."""
    metrics: Metrics
    num_iterations: int
    num_paused: int
    """Times that a started request lost its cache."""
    early_ttft_s: float | None = None
    early_tpot_s: float | None = None
    """The least limits of TTFT and TPOT that LoadGen's early stopping finds kept; None where it has
    no rate, and for too few answers.
    """

    @property
    def long_enough(self) -> bool:
        """Whether early stopping can find a limit kept."""
        return self.early_ttft_s is not None and self.early_tpot_s is not None

    def verdict(self, plan: LoadgenPlan, limits: ScenarioLimits) -> Verdict:
        """Whether the latencies are below the limits of the plan's scenario, and as early stopping
        asks. Nothing else that a real run is judged by is there to be judged.
        """
        done = self.metrics.samples_per_s or 0.0
        sustained = min(done, plan.target_rate) if plan.scenario.has_rate else done
        rules, kept = [], True
        for name, measured_s, early_s, limit_ms in (
            ("TTFT", self.metrics.ttft_p99_s, self.early_ttft_s, limits.ttft_ms),
            ("TPOT", self.metrics.tpot_p99_s, self.early_tpot_s, limits.tpot_ms),
        ):
            if limit_ms is not None:
                measured_ms = 1e3 * (measured_s or 0.0)
                rules.append(latency(name, measured_ms, limit_ms, plan.scenario, sustained))
                kept = kept and early_s is not None and 1e3 * early_s <= limit_ms
        if rules:
            rules.append(enough_queries(kept, self.num_queries, plan.scenario))
        return Verdict.of(rules)


def load_of(
    plan: LoadgenPlan, prompts: Sequence[int], answers: Sequence[int], seeds: Seeds
) -> Load:
    """The requests of a performance test: `prompts` and `answers` are the tokens of each sample's
    prompt and answer, `seeds` those of a round. Raises UsageError for lengths that are not of
    `plan.num_samples` samples.
    """
    import numpy as np

    if not len(prompts) == len(answers) == plan.num_samples:
        raise UsageError(
            f"{len(prompts)} prompts and {len(answers)} answers are given for {plan.num_samples} "
            "samples; give one of each."
        )
    times = arrivals_s(plan, seeds)
    order = samples(plan, plan.num_queries if times is None else len(times), seeds)
    return Load(
        prompts=np.asarray(prompts)[order], answers=np.asarray(answers)[order], arrivals_s=times
    )


def simulate(
    plan: LoadgenPlan,
    model: EngineModel,
    prompts: Sequence[int],
    answers: Sequence[int],
    seeds: Seeds,
    give_up: GiveUp | None = None,
) -> SimulatedTest:
    """The performance test of `plan` on an engine, or as much of it as comes before `give_up`; of
    the load that `load_of` makes. Raises UsageError, also for a sample that the engine could never
    answer.
    """
    load = load_of(plan, prompts, answers, seeds)
    done = drive(model, load, give_up)
    lengths = load.answers[done.numbers]
    duration_s = float(done.last_s.max())
    ttft_s, tpot_s = done.first_s - done.arrived_s, _tpots(done, lengths)
    has_rate = plan.scenario.has_rate
    return SimulatedTest(
        num_queries=done.num_arrived,
        duration_s=duration_s,
        metrics=_metrics(plan.scenario, done, lengths, duration_s),
        num_iterations=done.num_iterations,
        num_paused=done.num_paused,
        early_ttft_s=early_p99(ttft_s) if has_rate else None,
        early_tpot_s=(early_p99(tpot_s) if len(tpot_s) else 0.0) if has_rate else None,
    )


def _metrics(
    scenario: Scenario, done: Answered, lengths: NDArray[np.int64], duration_s: float
) -> Metrics:
    """As `results.cc` defines them: the rate of Server leaves out the first of the queries, and
    there is no first token in Offline. Of an answer of one token there is no TPOT.
    """
    count = len(lengths)
    figures = {
        "samples_per_s": (count - scenario.has_rate) / duration_s,
        "tokens_per_s": float(lengths.sum()) / duration_s,
        **_percentiles("latency", done.last_s - done.arrived_s),
    }
    if scenario.has_first_tokens:
        figures |= _percentiles("ttft", done.first_s - done.arrived_s)
        if len(tpots := _tpots(done, lengths)):
            figures |= _percentiles("tpot", tpots)
    return Metrics(**figures)


def _tpots(done: Answered, lengths: NDArray[np.int64]) -> Seconds:
    """Of the answers that have more than one token."""
    several = lengths > 1
    found: Seconds = (done.last_s - done.first_s)[several] / (lengths[several] - 1)
    return found


def _percentiles(name: str, values_s: Seconds) -> dict[str, float]:
    """LoadGen takes the value at this share of the sorted ones, rounded down."""
    import numpy as np

    ordered = np.sort(values_s)
    return {f"{name}_p{p}_s": float(ordered[len(ordered) * p // 100]) for p in _PERCENTILES}
