"""The verdict on a test: VALID, or INVALID because of a named rule, what was measured, the limit,
and what to change.

The rules are stricter than the submission checker, which accepts runs that LoadGen calls INVALID,
errors in the log of a performance run, and Interactive results under Server limits. Nobody but the
harness counts tokens. Each function below is one rule, or the few that read the same evidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.loadgen.logs import DetailLog, LoggedAnswer
    from harness.loadgen.settings import LoadgenPlan
    from harness.rules.rounds import Round
    from harness.rules.workload import ScenarioRules, Workload

_RATE_TOLERANCE = 1e-4  # LoadGen logs rates with six digits


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What one completed test left behind, and what it was meant to be."""

    plan: LoadgenPlan
    log: DetailLog
    token_counts: Sequence[int]
    """Of each answer, in any order, as the harness counted them."""
    workload: Workload
    limits: ScenarioRules
    """Of the scenario that the run claims to be."""
    round: Round | None = None
    """None: the run is for no round, and its seeds do not matter."""
    answers: Sequence[LoggedAnswer] | None = None
    """LoadGen's accuracy log, in accuracy mode."""
    summary_differences: Sequence[str] = ()
    prefix_caching: bool = False


def judge(evidence: Evidence) -> Verdict:
    """The verdict on one completed test."""
    finders = _PERFORMANCE if evidence.plan.mode == "performance" else _ACCURACY
    rules = [rule for find in finders for rule in find(evidence)]
    return Verdict((*rules, _clean_exit(None)))


def judge_unfinished(cause: str | None) -> Verdict:
    """The verdict on a test that failed or was interrupted: it has none of the evidence."""
    return Verdict((_clean_exit(cause or "no word of how it ended"),))


def primary_result(metric: str, log: DetailLog) -> dict[str, Any] | None:
    """The one figure that the checker reads as a scenario's result; None where LoadGen gives none.

    `metric` is its key in the detail log; latencies are in milliseconds. Source:
    `RESULT_FIELD_BENCHMARK_OVERWRITE` in the checker's constants.py.
    """
    value = log.values.get(metric)
    if value is None:
        return None
    if metric.endswith("_ns"):
        return {"key": metric, "value": value / 1e6, "unit": "ms"}
    return {"key": metric, "value": float(value), "unit": "tokens/s"}


def _clean_exit(cause: str | None) -> Rule:
    return Rule(
        "clean exit",
        cause is None,
        cause or "exit code 0 after the last answer",
        "the test's process ending by itself, with exit code 0",
        "mend the cause and run again",
    )


def _validity(e: Evidence) -> Iterator[Rule]:
    said = str(e.log.values.get("result_validity", "nothing"))
    reason = " ".join(str(e.log.values.get("result_invalid_reason", "")).split())
    failed = ", ".join(e.log.invalid_reasons)
    measured = said + (f" ({failed})" if failed else "")
    remedy = reason.removeprefix("* ") or "see LoadGen's summary"
    yield Rule("LoadGen's verdict", e.log.valid, measured, "VALID", remedy)


def _duration(e: Evidence) -> Iterator[Rule]:
    met = e.log.values.get("result_min_duration_met") is not False
    long_enough = e.log.duration_s >= e.plan.min_duration_s * (1 - _RATE_TOLERANCE)
    yield Rule(
        "minimum duration",
        met and long_enough,
        f"{e.log.duration_s:.1f} s",
        f"{e.plan.min_duration_s:g} s",
        "run again: the warm-up took the engine for slower than it is"
        if e.plan.scenario == "SingleStream"
        else "raise --qps, so that LoadGen asks for more samples",
    )


def _min_queries(e: Evidence) -> Iterator[Rule]:
    yield Rule(
        "minimum queries",
        e.log.values.get("result_min_queries_met") is not False,
        f"{e.log.values.get('result_query_count', 0)} queries",
        f"{e.log.values.get('effective_min_query_count', 0)} queries",
        "let the run go on to its end",
    )


def _early_stopping(e: Evidence) -> Iterator[Rule]:
    said = " ".join(
        str(e.log.values.get(f"early_stopping_{name}_result", "")) for name in ("ttft", "tpot")
    )
    words = " ".join(said.replace("*", " ").split())
    yield Rule(
        "early stopping",
        e.log.values.get("early_stopping_met") is not False,
        f"{e.log.values.get('result_query_count', 0)} queries",
        f"what LoadGen needs for its percentiles ({words})" if words else "LoadGen's own",
        "run more queries" + (" or lower --qps" if e.plan.loadgen_scenario == "Server" else ""),
    )


def _latency_limits(e: Evidence) -> Iterator[Rule]:
    """The limits that LoadGen applied must be those of the scenario, and must be met."""
    if e.limits.ttft_ms is None or e.limits.tpot_ms is None:
        return
    values = e.log.values
    allowed = f"TTFT {e.limits.ttft_ms:g} ms, TPOT {e.limits.tpot_ms:g} ms"
    applied = [values.get(f"requested_server_{name}_latency", 0) / 1e6 for name in ("ttft", "tpot")]
    yield Rule(
        f"limits of {e.plan.scenario}",
        0 < applied[0] <= e.limits.ttft_ms and 0 < applied[1] <= e.limits.tpot_ms,
        f"a test under TTFT {applied[0]:g} ms, TPOT {applied[1]:g} ms",
        allowed,
        f"run it as {e.plan.scenario}, under the LoadGen model of that scenario",
    )
    ttft_ms = values.get("result_first_token_99.00_percentile_latency_ns", 0) / 1e6
    tpot_ms = values.get("result_time_per_output_token_99.00_percentile_ns", 0) / 1e6
    met = values.get("result_perf_constraints_met") is not False
    yield Rule(
        "latency limits",
        met and ttft_ms <= e.limits.ttft_ms and tpot_ms <= e.limits.tpot_ms,
        f"TTFT {ttft_ms:.1f} ms, TPOT {tpot_ms:.2f} ms at p99",
        f"{allowed} at p99",
        "lower --qps",
    )


def _first_tokens(e: Evidence) -> Iterator[Rule]:
    """LoadGen's error for an answer without a first token, or a TTFT that is not one.

    Source of the condition: `loadgen.cc`, SampleMetadata's first-token time.
    """
    if e.plan.scenario == "Offline":
        return
    missing = sum("first token latency" in error for error in e.log.errors)
    shortest_ns = e.log.values.get("result_first_token_min_latency_ns", 0)
    yield Rule(
        "first tokens",
        not missing and shortest_ns > 0,
        f"{missing:,} answers without one"
        if missing
        else f"a shortest TTFT of {shortest_ns / 1e6:g} ms",
        "a first token for every answer",
        "the executor must hand over the first token before the last",
    )


def _errors(e: Evidence) -> Iterator[Rule]:
    first = f": {e.log.errors[0]}" if e.log.errors else ""
    yield Rule(
        "no LoadGen errors",
        not e.log.errors,
        f"{len(e.log.errors)} errors{first}",
        "none, though LoadGen may call the test VALID all the same",
        "see the detail log",
    )


def _answers(e: Evidence) -> Iterator[Rule]:
    """As many answers as LoadGen asked for, by the harness's count and by LoadGen's.

    It draws the number of Server queries, and ends SingleStream without equal issue by the clock.
    """
    plan, ours = e.plan, len(e.token_counts)
    asked, theirs = plan.num_queries, ours
    if plan.mode == "performance":
        theirs = e.log.num_answers
        if plan.loadgen_scenario == "Server":
            asked = int(e.log.values.get("generated_query_count", 0))
        elif plan.scenario == "SingleStream" and not plan.equal_issue:
            asked = theirs
    yield Rule(
        "every sample answered",
        0 < ours == theirs == asked,
        f"{ours:,} answers" + (f", {theirs:,} by LoadGen's count" if theirs != ours else ""),
        f"{asked:,}",
        "run again; an answer was lost or given twice",
    )
    count = int(e.log.values.get("effective_performance_sample_count", 0))
    yield Rule(
        "samples to draw from",
        count >= plan.num_samples,
        f"{count:,}",
        f"{plan.num_samples:,}, the whole dataset",
        "take `performance_sample_count_override` out of user.conf",
    )


def _token_counts(e: Evidence) -> Iterator[Rule]:
    least, most = e.workload.min_new_tokens, e.workload.max_new_tokens
    counts = e.token_counts or [0]
    short, long = sum(n < least for n in counts), sum(n > most for n in counts)
    yield Rule(
        "shortest answer",
        not short,
        f"{min(counts)} tokens" + (f" ({short:,} answers below)" if short else ""),
        f"{least}",
        "check the engine's stop ids",
    )
    yield Rule(
        "longest answer",
        not long,
        f"{max(counts)} tokens" + (f" ({long:,} answers above)" if long else ""),
        f"{most}",
        "a stop token or re-tokenised text must not be added to the answer",
    )


def _loadgen_tokens(e: Evidence) -> Iterator[Rule]:
    """Tokens that LoadGen was told of, against those that the harness counted."""
    told = e.log.num_tokens
    if told is None:
        return
    ours = sum(e.token_counts)
    yield Rule(
        "tokens reported",
        abs(told - ours) <= _RATE_TOLERANCE * max(ours, 1),
        f"{told:,.0f} by LoadGen's rates",
        f"{ours:,}, as the answers have",
        "report the number of ids, with each id once",
    )


def round_rules(log: DetailLog, chosen: Round) -> Iterator[Rule]:
    """LoadGen's version, state and seeds are those of the round."""
    loadgen, values = chosen.loadgen, log.values
    yield Rule(
        "LoadGen's version",
        loadgen.fits(log.version),
        log.version,
        f"{loadgen.text}, for round {chosen.name}",
        f"install mlcommons-loadgen=={loadgen.wheel}",
    )
    seeds = loadgen.seeds.by_log_key
    wrong = {key: values.get(key) for key, seed in seeds.items() if values.get(key) != seed}
    yield Rule(
        "seeds of the round",
        not wrong,
        ", ".join(f"{key} {value}" for key, value in wrong.items()) or "all three",
        f"those of round {chosen.name}",
        f"install mlcommons-loadgen=={loadgen.wheel}",
    )
    changes = str(values.get("loadgen_git_status_message", "")).strip()
    yield Rule(
        "LoadGen unchanged",
        not changes,
        changes or "a clean build",
        "a build without uncommitted changes",
        f"install mlcommons-loadgen=={loadgen.wheel}",
    )


def _round(e: Evidence) -> Iterator[Rule]:
    if e.round is not None:
        yield from round_rules(e.log, e.round)


def _prefix_caching(e: Evidence) -> Iterator[Rule]:
    yield Rule(
        "prefix caching",
        not e.prefix_caching,
        "on" if e.prefix_caching else "off",
        "off: every query is computed whole",
        "load the engine without prefix caching",
    )


def _summary(e: Evidence) -> Iterator[Rule]:
    differences = e.summary_differences
    yield Rule(
        "summary agrees",
        not differences,
        "; ".join(differences) or "the same figures",
        "those of the detail log",
        "LoadGen's files were changed; run again",
    )


def _logged_answers(e: Evidence) -> Iterator[Rule]:
    """The accuracy log: each sample once, each with its ids, their number, and a first token."""
    answers = e.answers or ()
    times = Counter(answer.index for answer in answers)
    twice = sum(count > 1 for count in times.values())
    absent = e.plan.num_samples - sum(0 <= index < e.plan.num_samples for index in times)
    yield Rule(
        "samples of the accuracy log",
        not twice and not absent,
        f"{len(times):,} samples, {absent:,} missing and {twice:,} answered twice",
        f"each of {e.plan.num_samples:,} once",
        "run again",
    )
    lengths = [(len(answer.ids), answer.token_count) for answer in answers]
    wrong = sum(length != told for length, told in lengths)
    same = sorted(length for length, _ in lengths) == sorted(e.token_counts)
    yield Rule(
        "tokens reported",
        not wrong and same,
        f"{wrong:,} answers with another number than they have ids"
        if wrong or same
        else "other lengths in the log than the harness counted",
        "as many tokens as ids",
        "report the number of ids, with each id once",
    )
    if e.plan.scenario == "Offline":
        return
    missing = sum(answer.first_ids is None or not len(answer.first_ids) for answer in answers)
    yield Rule(
        "first tokens",
        not missing,
        f"{missing:,} answers without one",
        "a first token for every answer",
        "the executor must hand over the first token before the last",
    )


_Finder = Callable[[Evidence], Iterator[Rule]]
_BOTH: tuple[_Finder, ...] = (_errors, _answers, _token_counts, _round, _prefix_caching)
_ACCURACY: tuple[_Finder, ...] = (*_BOTH, _logged_answers)
_PERFORMANCE: tuple[_Finder, ...] = (
    _validity,
    _duration,
    _min_queries,
    _latency_limits,
    _early_stopping,
    _first_tokens,
    *_BOTH,
    _loadgen_tokens,
    _summary,
)
