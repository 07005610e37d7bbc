"""The performance logs of a result: what LoadGen was asked, what it measured, and by which limits.

The official checker looks at what was requested; here what was measured counts as well.
"""

from __future__ import annotations

from collections.abc import Iterator

from build_engine.errors import RunFailed
from harness.loadgen import logs
from harness.loadgen.logs import DetailLog
from harness.loadgen.settings import loadgen_scenario
from harness.rules.rounds import Benchmark, Round, ScenarioResult
from harness.submission.tree import Result

_TOLERANCE = 1e-4  # LoadGen logs rates with six digits
_EARLY_STOPPED = ("Server", "SingleStream")


def performance_problems(result: Result, rules: Benchmark, chosen: Round) -> Iterator[str]:
    """What is wrong with `performance/run_1`."""
    for name in (logs.DETAIL, logs.SUMMARY):
        if not (result.performance / name).is_file():
            yield f"performance/run_1/{name} is missing; pack the run again."
            return
    try:
        log = logs.read_detail(result.performance)
    except RunFailed as error:
        yield f"{error}."
        return
    yield from log_problems(log, chosen, "performance")
    if log.values.get("effective_test_mode") != "PerformanceOnly":
        yield f"the performance log is of mode {log.values.get('effective_test_mode')}."
    yield from _scenario(result, log)
    yield from _validity(log)
    yield from _durations(log, chosen)
    yield from _samples(log, rules, result)
    yield from _latencies(log, rules, result)
    for difference in logs.summary_differences(result.performance, log):
        yield f"the summary of the performance test does not agree with its detail: {difference}."
    limits = _limits(rules, result)
    if limits is not None and log.values.get(limits.metric) is None:
        yield f"the detail log has no {limits.metric}, which is the result of {result.scenario}."


def log_problems(log: DetailLog, chosen: Round, test: str) -> Iterator[str]:
    """What any LoadGen log of a round must fulfil: version, seeds, a clean build, no error."""
    wrong = {
        key: log.values.get(key)
        for key, seed in chosen.loadgen.seeds.by_log_key.items()
        if log.values.get(key) != seed
    }
    for key, value in wrong.items():
        yield (
            f"{key} of the {test} test is {value}, not that of round {chosen.name}; run it with "
            f"mlcommons-loadgen {chosen.loadgen.text}."
        )
    if not chosen.loadgen.fits(log.version):
        yield (
            f"the {test} test ran with LoadGen {log.version}, and round {chosen.name} needs "
            f"{chosen.loadgen.text}."
        )
    changes = str(log.values.get("loadgen_git_status_message", "")).strip()
    if changes:
        yield f"LoadGen of the {test} test was built from changed sources ({changes})."
    if log.errors:
        yield f"the {test} test has {len(log.errors)} LoadGen errors: {log.errors[0].rstrip('.')}."
    if not log.values.get("requested_use_token_latencies"):
        yield f"token latencies were off in the {test} test; an LLM result needs them."


def _scenario(result: Result, log: DetailLog) -> Iterator[str]:
    """The limits of an Interactive result, whose log says Server, are checked below."""
    found = log.values["effective_scenario"]
    inferred = (found, result.scenario) == ("SingleStream", "Offline")
    if inferred:
        yield (
            "Offline was inferred from SingleStream logs, whose samples/s the checker would show "
            "as tokens/s; run Offline itself."
        )
    elif found != loadgen_scenario(result.scenario):
        yield f"the performance log is of scenario {found}."


def _validity(log: DetailLog) -> Iterator[str]:
    if not log.valid:
        failed = ", ".join(log.invalid_reasons) or "no reason given"
        yield (
            f"LoadGen calls the performance test {log.values.get('result_validity')} ({failed}), "
            f"which the official checker does not look at; run it again until it is VALID."
        )
    early = log.values["effective_scenario"] in _EARLY_STOPPED
    if early and not log.values.get("early_stopping_met"):
        yield "early stopping was not met: too few queries, or too many over the limits."


def _durations(log: DetailLog, chosen: Round) -> Iterator[str]:
    requested_s = log.values.get("effective_min_duration_ms", 0) / 1e3
    if requested_s < chosen.min_duration_s:
        yield (
            f"a minimum duration of {requested_s:g} s was requested, and the round asks for "
            f"{chosen.min_duration_s:g} s."
        )
    if log.duration_s < chosen.min_duration_s * (1 - _TOLERANCE):
        yield (
            f"the performance test lasted {log.duration_s:.1f} s, less than the "
            f"{chosen.min_duration_s:g} s of the round; raise target_qps so that LoadGen asks for "
            f"more samples."
        )


def _samples(log: DetailLog, rules: Benchmark, result: Result) -> Iterator[str]:
    values, needed = log.values, rules.num_samples
    drawn = values.get("effective_performance_sample_count", 0)
    if drawn < needed:
        yield f"queries were drawn from {drawn:,} samples, not from all {needed:,}."
    if values["effective_scenario"] == "Offline" and log.num_answers < needed:
        yield f"Offline asked for {log.num_answers:,} samples, fewer than {needed:,}."
    if result.by.division == "open":
        return
    if not values.get("effective_sample_concatenate_permutation"):
        yield "equal issue (sample_concatenate_permutation) was off."
    tokens = log.num_tokens
    if tokens is not None and log.num_answers and tokens > 0:
        mean = tokens / log.num_answers
        most = rules.max_new_tokens
        if mean > most * (1 + _TOLERANCE):
            yield (
                f"answers have {mean:.2f} tokens on average, above the limit of {most}: an end "
                f"token or re-tokenised text was counted."
            )


def _latencies(log: DetailLog, rules: Benchmark, result: Result) -> Iterator[str]:
    """The limits of the scenario that the folder claims; the checker applies those of the log's."""
    limits = _limits(rules, result)
    if limits is None or limits.ttft_ms is None or limits.tpot_ms is None:
        return
    values = log.values
    for name, key, limit_ms in (
        ("ttft", "result_first_token_99.00_percentile_latency_ns", limits.ttft_ms),
        ("tpot", "result_time_per_output_token_99.00_percentile_ns", limits.tpot_ms),
    ):
        applied_ms = values.get(f"requested_server_{name}_latency", 0) / 1e6
        if not 0 < applied_ms <= limit_ms:
            yield (
                f"it ran under a {name.upper()} limit of {applied_ms:g} ms, and {result.scenario} "
                f"has {limit_ms:g} ms; run it as {result.scenario}."
            )
        measured_ms = values.get(key, 0) / 1e6
        if not 0 < measured_ms < limit_ms:
            yield (
                f"{name.upper()} at p99 is {measured_ms:.4g} ms, the limit of {result.scenario} is "
                f"{limit_ms:g} ms; lower the rate."
            )


def _limits(rules: Benchmark, result: Result) -> ScenarioResult | None:
    """What the round says about the scenario; None for one that it does not have."""
    return next((r for name, r in rules.scenarios.items() if name == result.scenario), None)
