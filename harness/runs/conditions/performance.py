"""The conditions on a performance test, by its detail log.

They are stricter than the submission checker, which accepts tests that LoadGen calls INVALID, and
Interactive results under Server limits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from build_engine.validation import counted
from harness.rules.verdict import Rule

if TYPE_CHECKING:
    from harness.loadgen.detail import DetailLog
    from harness.rules.limits import ResultKey, ScenarioLimits
    from harness.rules.scenario import Scenario

RATE_TOLERANCE = 1e-4  # LoadGen logs rates with six digits
# What to try next: an engine that missed a latency keeps it, as a rule, at four fifths of the rate
# that it held; one that was asked for too little is asked for a fifth more than it did.
_SLOWER = 0.8
_FASTER = 1.2


def of_performance(
    log: DetailLog,
    scenario: Scenario,
    limits: ScenarioLimits,
    *,
    min_duration_s: float,
    num_samples: int,
    summary_differences: Sequence[str],
) -> Iterator[Rule]:
    """All of them but equal issue, for a test over a dataset of `num_samples`."""
    yield loadgen_verdict(log)
    yield duration_asked(log, min_duration_s)
    yield duration(log, min_duration_s, scenario)
    yield queries(log)
    yield from latencies(log, scenario, limits)
    yield early_stopping(log, scenario)
    if scenario.has_first_tokens:
        yield first_tokens_timed(log)
    yield samples_drawn(log, num_samples)
    if scenario.all_at_once:
        yield whole_pass(log, num_samples)
    yield result_logged(log, limits.metric)
    yield summary_agrees(summary_differences)


def loadgen_verdict(log: DetailLog) -> Rule:
    """LoadGen calls the test VALID, which the checker does not look at."""
    said = log.validity or "nothing"
    failed = ", ".join(log.invalid_reasons)
    return Rule(
        name="LoadGen's verdict",
        passed=log.valid,
        measured=said + (f" ({failed})" if failed else ""),
        allowed="VALID",
        remedy=log.advice or "see LoadGen's summary",
    )


def duration_asked(log: DetailLog, least_s: float) -> Rule:
    """LoadGen was asked for the minimum duration."""
    return Rule(
        name="requested duration",
        passed=log.asked_duration_s >= least_s,
        measured=f"{log.asked_duration_s:g} s",
        allowed=f"{least_s:g} s or more",
        remedy="set `min_duration` to that in user.conf, or leave it out",
        value=log.asked_duration_s,
        limit=least_s,
        unit="s",
    )


def duration(log: DetailLog, least_s: float, scenario: Scenario) -> Rule:
    """The test lasted as long as that."""
    return Rule(
        name="minimum duration",
        passed=log.duration_s >= least_s * (1 - RATE_TOLERANCE),
        measured=f"{log.duration_s:.1f} s",
        allowed=f"{least_s:g} s",
        remedy="run again: the warm-up took the engine for slower than it is"
        if scenario.one_at_a_time
        else "raise --qps, so that LoadGen asks for more samples"
        + _trying(_FASTER * (log.metrics().samples_per_s or 0.0)),
        value=log.duration_s,
        limit=least_s,
        unit="s",
    )


def queries(log: DetailLog) -> Rule:
    """LoadGen issued the number of queries that it was asked for."""
    return Rule(
        name="minimum queries",
        passed=log.num_queries >= log.asked_queries,
        measured=f"{counted(log.num_queries, 'query', 'queries')}",
        allowed=f"{counted(log.asked_queries, 'query', 'queries')}",
        remedy="let the run go on to its end",
        value=log.num_queries,
        limit=log.asked_queries,
        unit="queries",
    )


def latencies(log: DetailLog, scenario: Scenario, limits: ScenarioLimits) -> Iterator[Rule]:
    """LoadGen applied the limits of the scenario, or stricter ones, and the latencies keep them."""
    for name, limit_ms, asked_ms, measured_ms in (
        ("TTFT", limits.ttft_ms, log.asked_ttft_ms, log.ttft_p99_ms),
        ("TPOT", limits.tpot_ms, log.asked_tpot_ms, log.tpot_p99_ms),
    ):
        if limit_ms is not None:
            yield _limit_asked(name, asked_ms, limit_ms, scenario)
            yield latency(name, measured_ms, limit_ms, scenario, _sustained(log))


def _limit_asked(name: str, asked_ms: float, limit_ms: float, scenario: Scenario) -> Rule:
    """The checker applies the limits of LoadGen's scenario, which is Server for Interactive too."""
    return Rule(
        name=f"{name} limit",
        passed=0 < asked_ms <= limit_ms,
        measured=f"a test under {asked_ms:g} ms",
        allowed=f"{limit_ms:g} ms, that of {scenario}",
        remedy=f"run it as {scenario}, under the LoadGen model of that scenario",
        value=asked_ms,
        limit=limit_ms,
        unit="ms",
    )


def latency(
    name: str, measured_ms: float, limit_ms: float, scenario: Scenario, sustained_qps: float
) -> Rule:
    """Below the limit at p99; a latency of exactly the limit does not pass.

    LoadGen lets it pass: `PerformanceSummary::PerfConstraintsMet` of `loadgen/results.cc` fails
    what is `>` the limit, and `EarlyStopping` there counts the same. The submission checker does
    not: `PerformanceCheck.llm_check` of
    `tools/submission/submission_checker/checks/performance_check.py` asks for
    `ttft < limits["ttft"] and tpot < limits["tpot"]`. A result has to pass both.
    """
    return Rule(
        name=f"{name} at p99",
        passed=0 < measured_ms < limit_ms,
        measured=f"{measured_ms:.6g} ms",
        allowed=f"below {limit_ms:g} ms, for {scenario}",
        remedy=f"lower --qps{_trying(_SLOWER * sustained_qps)}",
        value=measured_ms,
        limit=limit_ms,
        unit="ms",
    )


def _sustained(log: DetailLog) -> float:
    """Queries a second that came in and were answered."""
    asked, done = log.asked_qps, log.metrics().samples_per_s or 0.0
    return min(asked, done) if asked and done else asked or done


def _trying(qps: float) -> str:
    """What to try, to two digits; nothing where nothing is known."""
    return f" (try --qps {float(f'{qps:.2g}'):g})" if qps > 0 else ""


def early_stopping(log: DetailLog, scenario: Scenario) -> Rule:
    """The queries suffice for LoadGen's percentiles."""
    words, least = log.early_stopping_advice, log.early_stopping_queries
    return enough_queries(log.early_stopping_met, log.num_queries, scenario, words, least)


def enough_queries(
    met: bool, num_queries: int, scenario: Scenario, words: str = "", least: int = 0
) -> Rule:
    """Early stopping of so many queries; `words` is what LoadGen says of it, and `least` how many
    it asks for (0: it does not say).
    """
    enough = f" ({least:,} or more, by --count or --duration)" if least else ""
    return Rule(
        name="early stopping",
        passed=met,
        measured=f"{counted(num_queries, 'query', 'queries')}",
        allowed=f"what LoadGen needs for its percentiles ({words})" if words else "LoadGen's own",
        remedy=f"run more queries{enough}" + (" or lower --qps" if scenario.has_rate else ""),
        value=num_queries,
        unit="queries",
    )


def first_tokens_timed(log: DetailLog) -> Rule:
    """LoadGen has a first token's time of every answer.

    Source: the error of `TokenLatencyRecorder` in `logging.cc`; without one, a TTFT of 0.
    """
    missing = sum("first token latency" in error for error in log.errors)
    return Rule(
        name="first tokens",
        passed=not missing and log.shortest_ttft_ms > 0,
        measured=f"{counted(missing, 'answer')} without one"
        if missing
        else f"a shortest TTFT of {log.shortest_ttft_ms:g} ms",
        allowed="a first token for every answer",
        remedy="the executor must hand over the first token before the last",
        value=missing,
        limit=0,
    )


def samples_drawn(log: DetailLog, num_samples: int) -> Rule:
    """Queries were drawn from the whole dataset."""
    return Rule(
        name="samples to draw from",
        passed=log.num_drawn_from >= num_samples,
        measured=f"{log.num_drawn_from:,}",
        allowed=f"{num_samples:,}, the whole dataset",
        remedy="take `performance_sample_count_override` out of user.conf",
        value=log.num_drawn_from,
        limit=num_samples,
        unit="samples",
    )


def whole_pass(log: DetailLog, num_samples: int) -> Rule:
    """The one query of Offline has every sample.

    Source: Offline.min_query_count of mlperf.conf; the checker's OFFLINE_MIN_SPQ_SINCE_V4.
    """
    return Rule(
        name="samples asked",
        passed=log.num_answers >= num_samples,
        measured=f"{log.num_answers:,}",
        allowed=f"{num_samples:,}, the whole dataset",
        remedy="take `min_query_count` out of user.conf",
        value=log.num_answers,
        limit=num_samples,
        unit="samples",
    )


def equal_issue(log: DetailLog) -> Rule:
    """Queries came in whole passes over the dataset.

    Source: sample_concatenate_permutation of mlperf.conf.
    """
    return Rule(
        name="equal issue",
        passed=log.equal_issue,
        measured="on" if log.equal_issue else "off",
        allowed="on",
        remedy="take `sample_concatenate_permutation` out of user.conf",
    )


def result_logged(log: DetailLog, metric: ResultKey) -> Rule:
    """The log has the figure that is the scenario's result."""
    there = log.values.get(metric) is not None
    return Rule(
        name="result",
        passed=there,
        measured=metric if there else f"no {metric}",
        allowed="the figure that the checker reads",
        remedy="run again; LoadGen did not finish its log",
    )


def summary_agrees(differences: Sequence[str]) -> Rule:
    """The summary has the figures of the detail log; `differences` are in words."""
    return Rule(
        name="summary agrees",
        passed=not differences,
        measured="; ".join(differences) or "the same figures",
        allowed="those of the detail log",
        remedy="LoadGen's files were changed; run again",
        value=len(differences),
        limit=0,
    )
