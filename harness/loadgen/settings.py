"""What LoadGen is told, and what it will do with it: the user.conf of one run, and its effective
queries and duration.

The arithmetic follows LoadGen's own `test_settings_internal.cc` and `GenerateQueries` in
`loadgen.cc`; a test runs LoadGen beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from build_engine.validation import Word
from harness.rules.scenario import Scenario

if TYPE_CHECKING:
    from pathlib import Path

Mode = Literal["performance", "accuracy"]
LOADGEN_MODES: dict[Mode, str] = {"performance": "PerformanceOnly", "accuracy": "AccuracyOnly"}

DIGITS = 6  # of a number in user.conf
# What holds where nobody says otherwise: `test_settings.h`, and the placeholders of mlperf.conf.
_DEFAULT_MIN_QUERIES = 100
_DEFAULT_QPS = 1.0
_DEFAULT_LATENCY_S = 0.01
# kSlack of Offline in test_settings_internal.cc: 10 % more samples than fill the duration at the
# expected rate ...
OFFLINE_SLACK = 1.1
# ... and that of SingleStream with equal issue: twice the queries that do at the expected latency
_SINGLE_STREAM_SLACK = 2.0
# A test that ends by the clock must have queries enough: for an engine that answers in this share
# of the expected latency.
_SHARE_OF_LATENCY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadgenPlan:
    """One LoadGen test.

    `model` is the name LoadGen looks up in its built-in mlperf.conf. A workload that is not in
    there brings its limits along (`ttft_ms`, `tpot_ms`); one that is leaves them None, so that
    LoadGen's own apply.
    """

    scenario: Scenario
    mode: Mode
    model: Word
    num_samples: int
    """Samples of the dataset; LoadGen draws from all of them."""
    min_duration_s: float
    min_query_count: int | None = None
    target_qps: float | None = None
    """Server: the arrival rate. Offline: the expected samples a second, from which LoadGen sizes
    its one query. At most `DIGITS` digits: user.conf has no more.
    """
    expected_latency_s: float | None = None
    """SingleStream, which has no rate: the expected latency, from which LoadGen sizes the number of
    queries.
    """
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
    own_set: bool = False
    """A whole run over articles of a user's own, to which built-in counts do not apply either."""

    @property
    def ends_by_clock(self) -> bool:
        """Whether the test ends with the minimum duration, however many queries that were."""
        return self.scenario.one_at_a_time and not self.equal_issue

    @property
    def user_conf(self) -> str:
        """The text of user.conf. Times are in milliseconds, as LoadGen reads them."""
        name, scenario = self.model, self.scenario.loadgen_name
        lines = [f"{name}.{scenario}.min_duration = {round(self.min_duration_s * 1000)}"]
        if self.min_query_count is not None:
            lines.append(f"{name}.{scenario}.min_query_count = {self.min_query_count}")
        if self.target_qps is not None:
            lines.append(f"{name}.{scenario}.target_qps = {self.target_qps:.{DIGITS}g}")
        if self.expected_latency_s is not None:
            latency_ms = self.expected_latency_s * 1e3
            if self.ends_by_clock:
                latency_ms *= _SHARE_OF_LATENCY
            lines.append(f"{name}.{scenario}.target_latency = {latency_ms:.{DIGITS}g}")
        if self.trial or self.own_set:
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

    def shortened(self, queries: int) -> LoadgenPlan:
        """The same for so many queries, drawn at random: a part of a pass cannot be asked for."""
        return replace(
            self, min_query_count=queries, min_duration_s=0.0, equal_issue=False, trial=True
        )

    @property
    def is_estimate(self) -> bool:
        """Whether `num_queries` is an estimate: where arrivals are random, and so is their number
        in a duration (by whole passes with equal issue), and where the clock ends the test.
        """
        return self.mode == "performance" and (self.scenario.has_rate or self.ends_by_clock)

    @property
    def num_queries(self) -> int:
        """Samples that LoadGen will issue."""
        if self.mode == "accuracy":
            return self.num_samples
        wanted = max(self.least_queries, self._filling)
        if self.equal_issue and self.scenario.one_at_a_time:
            # a whole pass more where it is whole passes already
            return wanted + self.num_samples - wanted % self.num_samples
        return self.passes(wanted)

    @property
    def least_queries(self) -> int:
        """The minimum that LoadGen is told, or its own."""
        return _DEFAULT_MIN_QUERIES if self.min_query_count is None else self.min_query_count

    @property
    def target_rate(self) -> float:
        """Queries a second that LoadGen is told, or its own."""
        return self.target_qps or _DEFAULT_QPS

    def passes(self, queries: int) -> int:
        """So many queries, and with equal issue those that make the last pass whole."""
        if not self.equal_issue:
            return queries
        return math.ceil(queries / self.num_samples) * self.num_samples

    @property
    def _filling(self) -> int:
        """Samples with which the minimum duration is filled, as LoadGen reckons."""
        latency_s = self.expected_latency_s or _DEFAULT_LATENCY_S
        if self.ends_by_clock:
            return math.ceil(self.min_duration_s / latency_s)
        if self.scenario.one_at_a_time:
            return int(_SINGLE_STREAM_SLACK * self.min_duration_s * (1 / latency_s))
        if self.scenario.all_at_once:
            return int(OFFLINE_SLACK * self.min_duration_s * self.target_rate)
        return math.ceil(self.min_duration_s * self.target_rate)

    def expected_duration_s(self, samples_per_s: float | None, latency_s: float | None) -> float:
        """Seconds that the queries will take an engine of this rate and single-request latency."""
        if self.scenario.has_rate:
            return self.num_queries / self.target_rate
        if self.scenario.one_at_a_time:
            least_s = self.min_duration_s if self.mode == "performance" else 0.0
            return max(self.num_queries * (latency_s or 0.0), least_s)
        return self.num_queries / samples_per_s if samples_per_s else 0.0

    def test_settings(self, user_conf: Path) -> Any:
        """LoadGen's TestSettings, from its built-in conf and then `user_conf`.

        LoadGen applies its built-in conf only on the first call of this in a process. Raises
        RuntimeError when LoadGen does not take the file.
        """
        import mlperf_loadgen as lg

        settings = lg.TestSettings()
        settings.scenario = getattr(lg.TestScenario, self.scenario.loadgen_name)
        code = settings.FromConfig(str(user_conf), self.model, self.scenario.loadgen_name, 1)
        if code != 0:
            raise RuntimeError(f"LoadGen could not read {user_conf} (code {code})")
        settings.mode = getattr(lg.TestMode, LOADGEN_MODES[self.mode])
        return settings
