"""From a workload, a scenario and the warm-up's probe to the plan of one LoadGen test.

Three things decide: a whole run keeps LoadGen's own counts and the workload's minimum duration; a
trial (part of the dataset, or less time) asks every sample once; and rates come from the user or,
failing that, from the warm-up.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from build_engine.validation import counted
from harness.figures import duration
from harness.loadgen.job import Probe
from harness.loadgen.settings import DIGITS, OFFLINE_SLACK, LoadgenPlan, Mode
from harness.rules.rounds import DEFAULT, Round, load_round
from harness.rules.scenario import Scenario
from harness.rules.workload import Workload, is_shipped, workload_names

# a Server rate that an engine holds without queueing, as a share of its batch rate
_SHARE_OF_RATE = 0.5
# the warm-up's rate may be lower than the steady one, and too few samples end too early
_ONE_PASS_MARGIN = 1.1
_OFFLINE_MARGIN = 1.25
_TRIAL_WARMUP = 8
_WHOLE_WARMUP = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScope:
    """How much of a workload one run covers, and at what rate.

    `num_samples` are the dataset's; `qps` and `duration_s` are the user's, None where they left
    them open.
    """

    workload: Workload
    scenario: Scenario
    num_samples: int
    qps: float | None = None
    duration_s: float | None = None
    own_set: bool = False
    """Whether the samples are all of a user's own articles, however many the workload has."""
    round: Round = field(default_factory=lambda: load_round(DEFAULT))
    """Whose rules the run claims to follow, and whose LoadGen and seeds it must have."""

    @property
    def whole_dataset(self) -> bool:
        """Whether every sample of the workload is there, or every article of the user's."""
        return self.own_set or self.num_samples == self.workload.num_samples

    @property
    def gated(self) -> bool:
        """Whether the workload's gates hold for the score: they are for the whole of its data."""
        return not self.own_set and self.num_samples == self.workload.num_samples

    @property
    def min_duration_s(self) -> float:
        """Seconds that a performance test lasts at least: the user's, else the workload's, or none
        for a part.
        """
        if self.duration_s is not None:
            return self.duration_s
        return self.workload.min_duration_s if self.whole_dataset else 0.0

    @property
    def unchanged(self) -> bool:
        """Whether the workload is an MLPerf benchmark with every rule as the round has it."""
        return self.workload.benchmark is not None and is_shipped(self.workload, self.round)

    @property
    def changed(self) -> bool:
        """Whether a shipped workload, or one that claims a benchmark, is not as it was shipped."""
        claims = self.workload.benchmark is not None or self.workload.name in workload_names()
        return claims and not is_shipped(self.workload, self.round)

    @property
    def official(self) -> bool:
        """Whether this is moreover a scenario that the benchmark has."""
        return self.unchanged and self.workload.rules_of(self.scenario).official

    @property
    def trial(self) -> bool:
        """Whether this is less than the workload asks for."""
        return not self.whole_dataset or self.min_duration_s < self.workload.min_duration_s

    @property
    def warmup_samples(self) -> int:
        """Size of the warm-up batch: enough for an estimate, small beside the run."""
        return min(_TRIAL_WARMUP if self.trial else _WHOLE_WARMUP, self.num_samples)

    def plan(self, mode: Mode, probe: Probe) -> LoadgenPlan:
        """The plan of one test."""
        workload, rules = self.workload, self.workload.rules_of(self.scenario)
        min_queries = rules.min_query_count
        if self.trial:
            # where LoadGen rounds N up to 2 N, it rounds N - 1 up to N
            min_queries = self.num_samples - self.scenario.one_at_a_time
        elif self.scenario.all_at_once:
            min_queries = self.num_samples  # Offline.min_query_count of mlperf.conf
        return LoadgenPlan(
            scenario=self.scenario,
            mode=mode,
            model=workload.loadgen_model_of(self.scenario),
            num_samples=self.num_samples,
            min_duration_s=self.min_duration_s,
            min_query_count=min_queries,
            target_qps=self._target_qps(mode, probe),
            expected_latency_s=self._expected_latency_s(probe),
            ttft_ms=rules.ttft_ms,
            tpot_ms=rules.tpot_ms,
            builtin_limits=self.unchanged,
            equal_issue=self._equal_issue,
            trial=self.trial,
            own_set=self.own_set,
        )

    def announcement(self, plan: LoadgenPlan, probe: Probe) -> str:
        """What will run and for how long, said before it starts."""
        expected_s = plan.expected_duration_s(probe.samples_per_s, probe.latency_s)
        about = "about " if plan.is_estimate and not self.trial else ""
        parts = [
            f"{about}{counted(plan.num_queries, 'query', 'queries')}, about {duration(expected_s)}"
        ]
        if self.scenario.has_rate:
            chosen = "as asked" if self.qps else "half of the warm-up's rate; --qps sets it"
            if plan.mode == "accuracy":
                chosen = "the warm-up's rate: latencies do not count here"
            parts.append(f"{plan.target_qps:.3g} queries/s ({chosen})")
        parts.append(
            f"warm-up: {probe.samples_per_s:.3g} samples/s in a batch, "
            f"{probe.latency_s * 1e3:,.0f} ms for one alone"
        )
        return "; ".join(parts)

    def _target_qps(self, mode: Mode, probe: Probe) -> float | None:
        """To as many digits as user.conf has, so that LoadGen and the plan count alike."""
        rate = probe.samples_per_s
        if self.scenario.one_at_a_time:
            return None
        if self.scenario.all_at_once:
            target = self.qps or self._offline_qps(rate)
        elif mode == "accuracy":
            target = rate
        else:
            target = self.qps or rate * _SHARE_OF_RATE
        return float(f"{target:.{DIGITS}g}")

    def _offline_qps(self, rate: float) -> float:
        """What makes LoadGen ask for one pass, if that lasts long enough, or else for enough."""
        if self.num_samples >= rate * _ONE_PASS_MARGIN * self.min_duration_s > 0:
            return (self.num_samples - 1) / (OFFLINE_SLACK * self.min_duration_s)
        return rate * _OFFLINE_MARGIN

    def _expected_latency_s(self, probe: Probe) -> float | None:
        return probe.latency_s if self.scenario.one_at_a_time else None

    @property
    def _equal_issue(self) -> bool:
        return True if self.trial else self.workload.equal_issue
