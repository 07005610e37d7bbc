"""The conditions on answers: that each sample has one, how long it is, and that its ids are those
which LoadGen was told of. Nobody but the harness counts tokens.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from build_engine.validation import counted
from harness.rules.verdict import Rule
from harness.runs.conditions.performance import RATE_TOLERANCE

if TYPE_CHECKING:
    from harness.loadgen.detail import DetailLog
    from harness.loadgen.given import GivenAnswers
    from harness.loadgen.logs import LoggedAnswer
    from harness.loadgen.settings import LoadgenPlan
    from runtime.executor import TokenIds

# Settings of an audit.config that the detail log gives as they were set.
_SETTINGS = (
    "accuracy_log_rng_seed",
    "accuracy_log_sampling_target",
    "min_duration",
    "sample_concatenate_permutation",
)
_REPORT = "report the number of ids, with each id once"
_STOP_TOKEN = "a stop token or re-tokenised text must not be added to the answer"


def all_answered(plan: LoadgenPlan, log: DetailLog, num_given: int) -> Rule:
    """As many answers as LoadGen asked for, by the harness's count and by LoadGen's.

    It draws the number of queries that arrive at a rate, and leaves it to the clock where queries
    come one at a time without equal issue.
    """
    asked, theirs = plan.num_queries, num_given
    if plan.mode == "performance":
        theirs = log.num_answers
        if plan.scenario.has_rate:
            asked = log.num_generated
        elif plan.ends_by_clock:
            asked = theirs
    return Rule(
        name="every sample answered",
        passed=0 < num_given == theirs == asked,
        measured=counted(num_given, "answer")
        + (f", {theirs:,} by LoadGen's count" if theirs != num_given else ""),
        allowed=f"{asked:,}",
        remedy="run again; an answer was lost or given twice",
        value=num_given,
        limit=asked,
        unit="answers",
    )


def accuracy_samples(log: DetailLog, num_samples: int) -> Rule:
    """The accuracy test asked for each sample of the dataset, and no other.

    Source: `dataset_check` of the checker's accuracy_check.py.
    """
    return Rule(
        name="samples asked",
        passed=log.num_accuracy_samples == num_samples,
        measured=f"{log.num_accuracy_samples:,}",
        allowed=f"{num_samples:,}, each sample once",
        remedy="take `accuracy_sample_count_override` out of user.conf",
        value=log.num_accuracy_samples,
        limit=num_samples,
        unit="samples",
    )


def each_sample_once(answers: Sequence[LoggedAnswer], num_samples: int) -> Rule:
    """The accuracy log has each sample, and none twice."""
    times = Counter(answer.index for answer in answers)
    twice = sum(count > 1 for count in times.values())
    absent = num_samples - sum(0 <= index < num_samples for index in times)
    return Rule(
        name="samples of the accuracy log",
        passed=not twice and not absent,
        measured=f"{counted(len(times), 'sample')}, {absent:,} missing and {twice:,} answered "
        "twice",
        allowed=f"each of {num_samples:,} once",
        remedy="run again",
        value=len(times),
        limit=num_samples,
        unit="samples",
    )


def enough_logged(answers: Sequence[LoggedAnswer], least: int) -> Rule:
    """A compliance test logged the answers that it is about."""
    return Rule(
        name="answers logged",
        passed=0 < least <= len(answers),
        measured=f"{len(answers)}",
        allowed=f"{least} or more",
        remedy="run the audit again",
        value=len(answers),
        limit=least,
        unit="answers",
    )


def audit_settings(log: DetailLog, settings: Mapping[str, int]) -> Rule:
    """LoadGen applied the audit.config of a compliance test."""
    wrong = {
        name: log.setting(name)
        for name in _SETTINGS
        if name in settings and log.setting(name) != settings[name]
    }
    return Rule(
        name="audit settings",
        passed=not wrong,
        measured=", ".join(f"{key} = {value}" for key, value in wrong.items()) or "applied",
        allowed=", ".join(f"{key} = {settings[key]}" for key in wrong) or "those of the round",
        remedy="run the audit again",
    )


def shortest(lengths: Sequence[int], least: int) -> Rule:
    """No answer has fewer tokens."""
    short = sum(length < least for length in lengths)
    found = min(lengths, default=0)
    return Rule(
        name="shortest answer",
        passed=not short,
        measured=f"{found} tokens" + (f" ({counted(short, 'answer')} below)" if short else ""),
        allowed=f"{least}",
        remedy="check the engine's stop ids",
        value=found,
        limit=least,
        unit="tokens",
    )


def longest(lengths: Sequence[int], most: int) -> Rule:
    """No answer has more tokens."""
    long = sum(length > most for length in lengths)
    found = max(lengths, default=0)
    return Rule(
        name="longest answer",
        passed=not long,
        measured=f"{found} tokens" + (f" ({counted(long, 'answer')} above)" if long else ""),
        allowed=f"{most}",
        remedy=_STOP_TOKEN,
        value=found,
        limit=most,
        unit="tokens",
    )


def mean_length(mean: float, most: int) -> Rule:
    """Answers have no more tokens on average, by LoadGen's rates."""
    return Rule(
        name="mean answer",
        passed=mean <= most * (1 + RATE_TOLERANCE),
        measured=f"{mean:.2f} tokens",
        allowed=f"{most}, the longest that an answer may be",
        remedy=_STOP_TOKEN,
        value=mean,
        limit=most,
        unit="tokens",
    )


def total_told(told: float, counted: int) -> Rule:
    """LoadGen was told of as many tokens, by its rates, as the harness counted."""
    return Rule(
        name="tokens reported",
        passed=abs(told - counted) <= RATE_TOLERANCE * max(counted, 1),
        measured=f"{told:,.0f} by LoadGen's rates",
        allowed=f"{counted:,}, as the answers have",
        remedy=_REPORT,
        value=told,
        limit=counted,
        unit="tokens",
    )


def each_told(answers: Sequence[LoggedAnswer]) -> Rule:
    """LoadGen was told of as many tokens as each answer has ids."""
    wrong = sum(len(answer.ids) != answer.token_count for answer in answers)
    return Rule(
        name="tokens reported",
        passed=not wrong,
        measured=f"{counted(wrong, 'answer')} with another number than they have ids",
        allowed="as many tokens as ids",
        remedy=_REPORT,
        value=wrong,
        limit=0,
        unit="answers",
    )


def as_counted(answers: Sequence[LoggedAnswer], token_counts: Sequence[int]) -> Rule:
    """The logged answers are as long as the harness counted them."""
    same = sorted(len(answer.ids) for answer in answers) == sorted(token_counts)
    return Rule(
        name="lengths counted",
        passed=same,
        measured="the same lengths" if same else "other lengths in the log",
        allowed="those that the harness counted",
        remedy=_REPORT,
    )


def given_as_told(answers: Sequence[LoggedAnswer], given: GivenAnswers) -> Rule:
    """LoadGen's accuracy log has the ids that the engine gave for each sample."""
    gave = Counter(
        (sample, ids.tobytes())
        for sample, ids in zip(given.samples.tolist(), given.answers, strict=True)
    )
    told = Counter((answer.index, answer.ids.tobytes()) for answer in answers)
    wrong = (told - gave).total() + (gave - told).total()
    return Rule(
        name="ids told",
        passed=not wrong,
        measured=f"{counted(wrong, 'answer')} that LoadGen and the engine have otherwise",
        allowed="none",
        remedy=_REPORT,
        value=wrong,
        limit=0,
        unit="answers",
    )


def first_tokens_begin(answers: Sequence[LoggedAnswer]) -> Rule:
    """The ids of the first token were logged, and are the first ids of the answer.

    Source: the first token check of TEST06, `compliance/TEST06/run_verification.py`.
    """
    wrong = sum(not _begins(answer) for answer in answers)
    return Rule(
        name="first tokens",
        passed=not wrong,
        measured=f"{wrong:,} of {len(answers):,} answers do not begin with their first token",
        allowed="none",
        remedy="hand over the same ids as first token and in the answer",
        value=wrong,
        limit=0,
        unit="answers",
    )


def stop_ids_end(answers: Sequence[TokenIds], stop_ids: Sequence[int]) -> Rule:
    """A stop id ends an answer: at most one, and nothing after it.

    The official check of TEST06 cannot fail on a Llama answer: it compares its EOS id as text.
    """
    import numpy as np

    wrong = sum(bool(np.isin(ids[:-1], stop_ids).any()) for ids in answers)
    return Rule(
        name="EOS check",
        passed=not wrong,
        measured=f"{wrong:,} of {len(answers):,} answers go on after a stop id",
        allowed=f"none with any of {', '.join(map(str, stop_ids)) or 'no ids'} before its last "
        f"token",
        remedy="check the engine's stop ids",
        value=wrong,
        limit=0,
        unit="answers",
    )


def _begins(answer: LoggedAnswer) -> bool:
    first = answer.first_ids
    if first is None or not len(first):
        return False
    return bool(answer.ids[: len(first)].tolist() == first.tolist())
