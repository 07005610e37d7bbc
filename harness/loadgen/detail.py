"""What LoadGen's detail log says of a test, by the name of each fact: here its keys are spelled.

`result_token_throughput` is not used: LoadGen 6.0 prints it wrong by nine orders of magnitude.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.loadgen.metrics import Metrics
from harness.rules.scenario import Scenario

_CONDITIONS = (
    "result_perf_constraints_met",
    "result_min_duration_met",
    "result_min_queries_met",
    "early_stopping_met",
)
_UNITS = {"min_duration": "min_duration_ms"}  # the log says it, and the settings do not
_RATES = {
    "samples_per_s": (
        "result_samples_per_second",
        "result_completed_samples_per_sec",
        "result_qps_with_loadgen_overhead",
    ),
    "tokens_per_s": ("result_tokens_per_second", "result_completed_tokens_per_second"),
}
_LATENCIES = {
    "ttft": "result_first_token_{}_percentile_latency_ns",
    "tpot": "result_time_per_output_token_{}_percentile_ns",
    "latency": "result_{}_percentile_latency_ns",
}


@dataclass(frozen=True, slots=True)
class DetailLog:
    """The first value of each key, as the submission checker reads it, and the error and warning
    messages. A count or time that LoadGen did not log is 0.
    """

    values: Mapping[str, Any]
    errors: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def full_version(self) -> str:
        """LoadGen's version, with the commit it was built from."""
        return str(self.values.get("loadgen_version", "unknown"))

    @property
    def version(self) -> str:
        """LoadGen's version alone."""
        return self.full_version.partition(" ")[0]

    @property
    def changes(self) -> str:
        """Uncommitted changes of the sources that LoadGen was built from; "" for none."""
        return str(self.values.get("loadgen_git_status_message", "")).strip()

    @property
    def mode(self) -> str:
        """One of `LOADGEN_MODES`, or another that LoadGen has."""
        return str(self.values.get("effective_test_mode"))

    @property
    def scenario_name(self) -> str:
        """The scenario as LoadGen calls it: Server, for Interactive too."""
        return str(self.values.get("effective_scenario"))

    @property
    def scenario(self) -> Scenario | None:
        """The same; None for one that we do not have."""
        return Scenario.named(self.scenario_name)

    def setting(self, name: str) -> Any:
        """What a setting of user.conf or audit.config was in the test; None if it is not logged."""
        return self.values.get(f"effective_{_UNITS.get(name, name)}")

    @property
    def token_latencies(self) -> bool:
        """Whether LoadGen was asked to measure TTFT and TPOT, and to count tokens."""
        return bool(self.values.get("requested_use_token_latencies"))

    @property
    def equal_issue(self) -> bool:
        """Whether queries came in whole passes over the dataset."""
        return bool(self.setting("sample_concatenate_permutation"))

    @property
    def num_drawn_from(self) -> int:
        """Samples from which a performance test drew its queries."""
        return int(self._number("effective_performance_sample_count"))

    @property
    def num_accuracy_samples(self) -> int:
        """Samples that an accuracy test asked for, read as the checker does: LoadGen before 6.0.15
        logs only how many there are.
        """
        there = self._number("qsl_reported_total_count")
        return int(self.values.get("effective_accuracy_sample_count", there))

    @property
    def asked_duration_s(self) -> float:
        """The minimum duration that LoadGen was asked for."""
        return float(self.setting("min_duration") or 0) / 1e3

    @property
    def asked_queries(self) -> int:
        """The minimum number of queries."""
        return int(self.setting("min_query_count") or 0)

    @property
    def asked_ttft_ms(self) -> float:
        """The limit of TTFT that LoadGen applied in Server."""
        return self._number("requested_server_ttft_latency") / 1e6

    @property
    def asked_tpot_ms(self) -> float:
        """The limit of TPOT that LoadGen applied in Server."""
        return self._number("requested_server_tpot_latency") / 1e6

    @property
    def asked_qps(self) -> float:
        """The rate of Server that LoadGen was asked for."""
        return self._number("effective_target_qps")

    @property
    def validity(self) -> str | None:
        """LoadGen's own verdict on a performance test, VALID or INVALID."""
        said = self.values.get("result_validity")
        return None if said is None else str(said)

    @property
    def valid(self) -> bool:
        """Whether it is VALID."""
        return self.validity == "VALID"

    @property
    def invalid_reasons(self) -> tuple[str, ...]:
        """Which of LoadGen's conditions failed, in its own terms."""
        return tuple(name for name in _CONDITIONS if self.values.get(name) is False)

    @property
    def advice(self) -> str:
        """What LoadGen says to change about an invalid test; "" where it says nothing."""
        words = " ".join(str(self.values.get("result_invalid_reason", "")).split())
        return words.removeprefix("* ")

    @property
    def early_stopping_met(self) -> bool:
        """Whether the queries suffice for LoadGen's percentiles."""
        return self.values.get("early_stopping_met") is True

    @property
    def early_stopping_advice(self) -> str:
        """What LoadGen says about that, for TTFT and then for TPOT."""
        keys = ("early_stopping_ttft_result", "early_stopping_tpot_result")
        said = " ".join(str(self.values.get(key, "")) for key in keys)
        return " ".join(said.replace("*", " ").split())

    @property
    def early_stopping_queries(self) -> int:
        """How many queries LoadGen would need at least; 0 where it does not say."""
        said = self.early_stopping_advice
        more = map(int, re.findall(r"at least (\d+) more quer", said))
        whole = map(int, re.findall(r"process at least (\d+) quer", said))
        return max([*whole, *(self.num_queries + each for each in more)], default=0)

    @property
    def num_queries(self) -> int:
        """Queries that were issued; one in Offline."""
        return int(self._number("result_query_count"))

    @property
    def num_generated(self) -> int:
        """Queries that LoadGen drew before the test."""
        return int(self._number("generated_query_count"))

    @property
    def num_answers(self) -> int:
        """Samples that LoadGen asked for and got."""
        if self._all_at_once:
            return int(self._number("generated_samples_per_query"))
        return self.num_queries

    @property
    def shortest_ttft_ms(self) -> float:
        """Of all answers."""
        return self._number("result_first_token_min_latency_ns") / 1e6

    @property
    def ttft_p99_ms(self) -> float:
        """Time to first token at p99."""
        return self._number(_LATENCIES["ttft"].format("99.00")) / 1e6

    @property
    def tpot_p99_ms(self) -> float:
        """Time per output token at p99."""
        return self._number(_LATENCIES["tpot"].format("99.00")) / 1e6

    @property
    def duration_s(self) -> float:
        """From the first query to the last answer, by LoadGen's own rate and count (6 digits)."""
        rate = self.metrics().samples_per_s or 0.0
        server = "result_completed_samples_per_sec" in self.values
        intervals = self.num_answers - server  # that rate leaves out the first of the queries
        return intervals / rate if rate else 0.0

    @property
    def num_tokens(self) -> float | None:
        """Tokens that LoadGen was told of, by its own rates (6 digits).

        None where it logs no such rate, and where queries come one at a time: its rates of samples
        and of tokens are then over spans that differ by milliseconds.
        """
        rate = self.metrics().tokens_per_s
        comparable = self.scenario is not None and not self.scenario.one_at_a_time
        return rate * self.duration_s if comparable and rate is not None else None

    def metrics(self) -> Metrics:
        """The figures of a performance test."""
        values = self.values
        found: dict[str, float] = {}
        for name, keys in _RATES.items():
            value = next((values[key] for key in keys if key in values), None)
            if value is not None:
                found[name] = float(value)
        for name, prefix in _LATENCIES.items():
            for percentile in ("50.00", "90.00", "99.00"):
                value = values.get(prefix.format(percentile))
                if value is not None:
                    found[f"{name}_p{percentile[:2]}_s"] = value / 1e9
        return Metrics(**found)

    @property
    def _all_at_once(self) -> bool:
        return self.scenario is not None and self.scenario.all_at_once

    def _number(self, key: str) -> float:
        return float(self.values.get(key, 0))
