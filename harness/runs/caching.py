"""Whether an engine answers from a cache: samples that are all different are asked together, and
then one sample as often.

MLPerf's TEST04 judges so, and is not asked of language models, because their samples differ in
length; here the different ones are those that are most like the one. TEST04 lasts ten minutes and
allows 10 %; a test of some seconds is allowed more, and an answer that is not computed takes a
fraction of the time.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import RunFailed
from build_engine.files import cannot_write
from harness.dataset.prompts import prompt_lengths
from harness.loadgen import logs
from harness.loadgen.given import GivenAnswers
from harness.loadgen.settings import LoadgenPlan
from harness.loadgen.supervise import Outcome, run_test
from harness.rules.scenario import Scenario
from harness.rules.verdict import Rule

if TYPE_CHECKING:
    from harness.loadgen.job import Job
    from harness.progress import Progress

NUM_ASKED = 64
MAX_RATIO = 1.5
_TRIES = 4  # a busy machine slows one test or the other, and a cache answers fast in each
_DIFFERENT, _REPEATED = "different", "repeated"


def ask_again(
    folder: Path, job: Job, plan: LoadgenPlan, given: GivenAnswers, progress: Progress
) -> Outcome | None:
    """Ask for different samples and for one, in `folder`; None when all of it completed, else how
    the test went that did not.

    `job`, `plan` and `given` are those of the run's performance test. Another try is made where
    one looks like a cache. Raises OutputError.
    """
    alike = most_alike(prompt_lengths(job.dataset), given, NUM_ASKED)
    asked = {_DIFFERENT: tuple(alike), _REPEATED: (alike[0],) * len(alike)}
    for number in range(1, _TRIES + 1):
        for name, samples in asked.items():
            progress.phase(f"Caching: {len(samples)} {name} samples, try {number}")
            outcome = _ask(folder / f"{name}-{number}", job, plan, samples, progress)
            if outcome.status != "complete":
                return outcome
        if not_cached(folder).passed:
            break
    return None


def not_cached(folder: Path) -> Rule:
    """One sample repeated is answered hardly faster than different ones are, in one of the tries.

    Raises RunFailed when `folder` has none.
    """
    rates = [
        (_rate(folder / f"{_DIFFERENT}-{number}"), _rate(folder / f"{_REPEATED}-{number}"))
        for number in range(1, _TRIES + 1)
        if (folder / f"{_REPEATED}-{number}").is_dir()
    ]
    if not rates:
        raise RunFailed(f"{folder} has no test of caching; audit the run again.")
    different, repeated = min(rates, key=lambda pair: pair[1] / pair[0])
    ratio = repeated / different
    return Rule(
        name="answers from a cache",
        passed=ratio <= MAX_RATIO,
        measured=f"{repeated:.3g} samples/s of one sample repeated, {different:.3g} of different "
        f"ones ({ratio:.2f} times)",
        allowed=f"{MAX_RATIO:g} times",
        remedy="every query must be computed, whatever was asked before; if the machine was busy, "
        "audit again",
        value=ratio,
        limit=MAX_RATIO,
    )


def most_alike(lengths: list[int], given: GivenAnswers, count: int) -> list[int]:
    """A middling sample, and then those whose prompts and answers are most like its own in
    length.
    """
    tokens = {sample: len(ids) for sample, ids in given.by_sample.items()}
    samples = sorted(tokens, key=lambda i: (lengths[i], tokens[i], i))
    middle = samples[len(samples) // 2]
    prompt, answer = max(lengths[middle], 1), max(tokens[middle], 1)

    def distance(sample: int) -> float:
        return (
            abs(lengths[sample] - lengths[middle]) / prompt
            + abs(tokens[sample] - tokens[middle]) / answer
        )

    others = sorted((each for each in samples if each != middle), key=distance)
    return [middle, *others[: count - 1]]


def _ask(
    folder: Path, job: Job, plan: LoadgenPlan, samples: tuple[int, ...], progress: Progress
) -> Outcome:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise cannot_write(folder, error) from None
    once = replace(
        plan,
        scenario=Scenario.OFFLINE,  # in others the rate, or the wait, is not the engine's alone
        num_samples=len(samples),
        min_duration_s=0.0,
        min_query_count=len(samples),
        target_qps=1.0,
        expected_latency_s=None,
        ttft_ms=None,
        tpot_ms=None,
        builtin_limits=False,
        equal_issue=True,
        trial=True,
    )
    asked = job.model_copy(update={"samples": samples, "first_tokens": False})
    return run_test(asked, lambda probe: once, folder, progress)


def _rate(folder: Path) -> float:
    rate = logs.read_detail(folder).metrics().samples_per_s
    if not rate:
        raise RunFailed(f"{folder} has no rate; audit the run again.")
    return rate
