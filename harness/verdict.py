"""The verdict on a test: VALID, or INVALID because of a named rule, what was measured, the limit,
and what to change.

LoadGen's own conditions come first; the rules after them are ours, because LoadGen calls a test
VALID whose answers were completed twice, and nobody but the harness counts tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from harness.loadgen.logs import DetailLog
from harness.loadgen.settings import LoadgenPlan


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule and how it came out."""

    name: str
    passed: bool
    measured: str
    limit: str
    remedy: str

    @property
    def sentence(self) -> str:
        """The rule in words, for one that failed."""
        return f"{self.name}: measured {self.measured}, the limit is {self.limit}; {self.remedy}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The rules of one test, or of a whole run."""

    rules: tuple[Rule, ...]

    @property
    def valid(self) -> bool:
        """Whether every rule passed."""
        return all(rule.passed for rule in self.rules)

    @property
    def sentence(self) -> str:
        """One sentence."""
        failed = [rule.sentence for rule in self.rules if not rule.passed]
        return "VALID" if not failed else "INVALID because " + "; and ".join(failed)

    def to_json(self) -> dict[str, Any]:
        """As run.json keeps it."""
        rules = [asdict(rule) for rule in self.rules]
        return {"valid": self.valid, "sentence": self.sentence, "rules": rules}


def judge(
    plan: LoadgenPlan, log: DetailLog, token_counts: Sequence[int], max_new_tokens: int
) -> Verdict:
    """The verdict on one completed test. `token_counts` are those of its answers, in any order."""
    rules = [
        _no_errors(log),
        _all_samples(plan, token_counts),
        _token_counts(token_counts, max_new_tokens),
    ]
    if plan.mode == "performance":
        rules = [*_loadgen_conditions(plan, log), *rules]
    return Verdict(tuple(rules))


def _loadgen_conditions(plan: LoadgenPlan, log: DetailLog) -> list[Rule]:
    """LoadGen's own conditions, with its figures."""
    values = log.values
    ttft_ms = values.get("result_first_token_99.00_percentile_latency_ns", 0) / 1e6
    tpot_ms = values.get("result_time_per_output_token_99.00_percentile_ns", 0) / 1e6
    limits = (
        f"TTFT {values.get('requested_server_ttft_latency', 0) / 1e6:g} ms, "
        f"TPOT {values.get('requested_server_tpot_latency', 0) / 1e6:g} ms at p99"
    )
    failed = set(log.invalid_reasons)
    rules = [
        Rule(
            "minimum duration",
            "result_min_duration_met" not in failed,
            f"{_duration_s(plan, log):.1f} s",
            f"{plan.min_duration_s:g} s",
            "raise --qps, so that LoadGen asks for more samples",
        ),
        Rule(
            "minimum queries",
            "result_min_queries_met" not in failed,
            f"{values.get('result_query_count', 0)} queries",
            f"{values.get('effective_min_query_count', 0)} queries",
            "let the run go on to its end",
        ),
    ]
    if plan.loadgen_scenario == "Server":
        rules.append(
            Rule(
                "latency limits",
                not failed & {"result_perf_constraints_met"},
                f"TTFT {ttft_ms:.1f} ms, TPOT {tpot_ms:.2f} ms at p99",
                limits,
                "lower --qps",
            )
        )
    rules.append(
        Rule(
            "early stopping",
            "early_stopping_met" not in failed,
            f"{values.get('result_query_count', 0)} queries",
            _early_stopping(log),
            "run more queries" + (" or lower --qps" if plan.loadgen_scenario == "Server" else ""),
        )
    )
    if not log.valid and not failed:
        reason = str(values.get("result_invalid_reason", "LoadGen gives no reason"))
        rules.append(Rule("LoadGen's validity", False, "INVALID", "VALID", reason))
    return rules


def _duration_s(plan: LoadgenPlan, log: DetailLog) -> float:
    """How long the queries ran, from LoadGen's own rate and count."""
    metrics = log.metrics()
    count = log.values.get("result_query_count", 0)
    if plan.scenario == "Offline":
        count = log.values.get("generated_samples_per_query", 0)
    return float(count / metrics["samples_per_s"]) if metrics.get("samples_per_s") else 0.0


def _early_stopping(log: DetailLog) -> str:
    said = " ".join(
        str(log.values.get(f"early_stopping_{name}_result", "")) for name in ("ttft", "tpot")
    )
    words = " ".join(said.replace("*", " ").split())
    return f"what LoadGen needs for its percentiles ({words})" if words else "LoadGen's own"


def _no_errors(log: DetailLog) -> Rule:
    first = f": {log.errors[0]}" if log.errors else ""
    return Rule(
        "no LoadGen errors",
        not log.errors,
        f"{len(log.errors)} errors{first}",
        "none, though LoadGen may call the test VALID all the same",
        "see the detail log",
    )


def _all_samples(plan: LoadgenPlan, token_counts: Sequence[int]) -> Rule:
    exact = plan.scenario != "SingleStream" or plan.mode == "accuracy" or plan.equal_issue
    enough = len(token_counts) == plan.num_queries if exact else bool(token_counts)
    return Rule(
        "every sample answered",
        enough,
        f"{len(token_counts):,} answers",
        f"{plan.num_queries:,}",
        "run again; an answer was lost or given twice",
    )


def _token_counts(token_counts: Sequence[int], max_new_tokens: int) -> Rule:
    """LoadGen logs an error for an answer of a single token, and the rules cap answers at
    `max_new_tokens`.
    """
    low, high = (min(token_counts), max(token_counts)) if token_counts else (0, 0)
    return Rule(
        "tokens of an answer",
        low >= 2 and high <= max_new_tokens,
        f"{low} to {high}",
        f"2 to {max_new_tokens}",
        "check the engine's stop ids and limits",
    )
