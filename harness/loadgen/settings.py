"""What LoadGen is told, and what it will do with it: the user.conf of one run, and its effective
queries and duration.

The arithmetic follows LoadGen's own `test_settings_internal.cc` and `GenerateQueries` in
`loadgen.cc`; a test runs LoadGen beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pathlib import Path

    from harness.rules.workload import Scenario

Mode = Literal["performance", "accuracy"]

DIGITS = 6  # of a number in user.conf
# LoadGen asks for 10 % more samples than the expected rate fills the duration with
OFFLINE_SLACK = 1.1
_SINGLE_STREAM_SLACK = 2.0  # and for twice the queries that the expected latency does
# Without equal issue SingleStream ends by the clock, if LoadGen generated queries enough: for an
# engine that answers in this share of the expected latency.
_SHARE_OF_LATENCY = 0.5


def loadgen_scenario(scenario: str) -> str:
    """LoadGen has no Interactive scenario: it is Server under other limits."""
    return "Server" if scenario == "Interactive" else scenario


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadgenPlan:
    """One LoadGen test.

    `model` is the name LoadGen looks up in its built-in mlperf.conf. A workload that is not in
    there brings its limits along (`ttft_ms`, `tpot_ms`); one that is leaves them None, so that
    LoadGen's own apply.
    """

    scenario: Scenario
    mode: Mode
    model: str
    num_samples: int
    """Samples of the dataset; LoadGen draws from all of them."""
    min_duration_s: float
    min_query_count: int | None = None
    target_qps: float | None = None
    """Server: the arrival rate. Offline: the expected samples a second, from which LoadGen sizes
    its one query. At most `DIGITS` digits: user.conf has no more.
    """
    expected_latency_s: float | None = None
    """SingleStream: the expected latency, from which LoadGen sizes the number of queries."""
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    builtin_limits: bool = False
    """Whether LoadGen's mlperf.conf knows `model`."""
    equal_issue: bool = False
    """Whether queries come in whole passes over the dataset (`sample_concatenate_permutation`)."""
    trial: bool = False
    """A short run over part of the dataset: built-in counts are overridden, so it is not a result
    of the benchmark.
    """

    @property
    def loadgen_scenario(self) -> str:
        """What LoadGen calls the scenario."""
        return loadgen_scenario(self.scenario)

    @property
    def user_conf(self) -> str:
        """The text of user.conf. Times are in milliseconds, as LoadGen reads them."""
        name, scenario = self.model, self.loadgen_scenario
        lines = [f"{name}.{scenario}.min_duration = {round(self.min_duration_s * 1000)}"]
        if self.min_query_count is not None:
            lines.append(f"{name}.{scenario}.min_query_count = {self.min_query_count}")
        if self.target_qps is not None and scenario in ("Offline", "Server"):
            lines.append(f"{name}.{scenario}.target_qps = {self.target_qps:.{DIGITS}g}")
        if self.expected_latency_s is not None and scenario == "SingleStream":
            latency_ms = self.expected_latency_s * 1e3
            if not self.equal_issue:
                latency_ms *= _SHARE_OF_LATENCY
            lines.append(f"{name}.{scenario}.target_latency = {latency_ms:.{DIGITS}g}")
        if self.trial:
            lines.append(
                f"{name}.{scenario}.performance_sample_count_override = {self.num_samples}"
            )
        if self.trial or not self.builtin_limits:
            lines.append(
                f"{name}.{scenario}.sample_concatenate_permutation = {int(self.equal_issue)}"
            )
        if not self.builtin_limits:
            lines.append(f"{name}.{scenario}.use_token_latencies = 1")
            lines.append(f"{name}.Server.target_latency = 0")
            if self.ttft_ms is not None and self.tpot_ms is not None:
                lines.append(f"{name}.Server.ttft_latency = {self.ttft_ms:g}")
                lines.append(f"{name}.Server.tpot_latency = {self.tpot_ms:g}")
        return "".join(f"{line}\n" for line in lines)

    @property
    def is_estimate(self) -> bool:
        """Whether `num_queries` is an estimate: in Server, where arrivals are random and so is
        their number in a duration (by whole passes with equal issue), and in SingleStream without
        equal issue, which ends with the duration.
        """
        if self.mode == "accuracy":
            return False
        by_clock = self.scenario == "SingleStream" and not self.equal_issue
        return self.loadgen_scenario == "Server" or by_clock

    @property
    def num_queries(self) -> int:
        """Samples that LoadGen will issue."""
        if self.mode == "accuracy":
            return self.num_samples
        wanted = self.min_query_count if self.min_query_count is not None else 100
        if self.scenario == "Offline":
            least = self.min_query_count or 1
            wanted = max(least, int(OFFLINE_SLACK * self.min_duration_s * (self.target_qps or 1)))
        elif self.scenario == "SingleStream" and self.equal_issue:
            rate = 1 / (self.expected_latency_s or 0.01)
            wanted = max(wanted, int(_SINGLE_STREAM_SLACK * self.min_duration_s * rate))
            return wanted + self.num_samples - wanted % self.num_samples
        elif self.scenario == "SingleStream":
            wanted = max(wanted, math.ceil(self.min_duration_s / (self.expected_latency_s or 0.01)))
        else:
            wanted = max(wanted, math.ceil(self.min_duration_s * (self.target_qps or 1)))
        if self.equal_issue:
            wanted = math.ceil(wanted / self.num_samples) * self.num_samples
        return wanted

    def expected_duration_s(self, samples_per_s: float | None, latency_s: float | None) -> float:
        """Seconds that the queries will take an engine of this rate and single-request latency."""
        if self.scenario in ("Server", "Interactive"):
            return self.num_queries / (self.target_qps or 1)
        if self.scenario == "SingleStream":
            return max(self.num_queries * (latency_s or 0.0), self.min_duration_s)
        return self.num_queries / samples_per_s if samples_per_s else 0.0

    def test_settings(self, user_conf: Path) -> Any:
        """LoadGen's TestSettings, from its built-in conf and then `user_conf`.

        LoadGen applies its built-in conf only on the first call of this in a process. Raises
        RuntimeError when LoadGen does not take the file.
        """
        import mlperf_loadgen as lg

        settings = lg.TestSettings()
        settings.scenario = getattr(lg.TestScenario, self.loadgen_scenario)
        code = settings.FromConfig(str(user_conf), self.model, self.loadgen_scenario, 1)
        if code != 0:
            raise RuntimeError(f"LoadGen could not read {user_conf} (code {code})")
        settings.mode = (
            lg.TestMode.AccuracyOnly if self.mode == "accuracy" else lg.TestMode.PerformanceOnly
        )
        return settings
