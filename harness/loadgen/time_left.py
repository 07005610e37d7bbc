"""How long the rest of a LoadGen test will take, from the tokens that are still to be read and to
be made.

Samples that are done would say little: an engine may read all prompts of a query before it ends
one answer. So what a prompt token and an answer's token cost is fitted to the test so far, and
begins with what the warm-up showed of a whole sample.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.figures import ProgressFigures
    from harness.loadgen.job import Probe
    from harness.loadgen.messages import AnswerRecord
    from harness.loadgen.settings import LoadgenPlan

_WARM_UP_ANSWERS = 8.0  # as many as its mean length counts for, since short answers end first
# of the fit, towards equal shares of a sample's time: where both kinds of tokens come in one ratio
# all the time, nothing else tells their costs apart
_PULL = 0.01


class TimeLeft:
    """An estimate that follows one test of `num_queries` samples.

    `sample_s` are the seconds of one sample and `answer_tokens` the tokens of an answer that are
    expected before the test, `longest` those of the longest answer. A test with a rate issues
    `per_s` samples a second, and one that ends by the clock takes `duration_s`.
    """

    def __init__(
        self,
        num_queries: int,
        sample_s: float,
        answer_tokens: float,
        longest: int,
        *,
        per_s: float | None = None,
        duration_s: float | None = None,
    ) -> None:
        self.num_queries = num_queries
        self._sample_s = sample_s
        self._answer_tokens = answer_tokens
        self._longest = longest
        self._per_s = per_s
        self._duration_s = duration_s
        self._answers = (0, 0)  # that were ended: how many, and their tokens
        self._last = (0.0, 0, 0)  # seconds, prompt tokens, tokens
        # sums over the test so far, of prompt tokens (p), tokens (t) and seconds (s)
        self._pp = self._pt = self._tt = self._ps = self._ts = 0.0

    @classmethod
    def of(
        cls,
        plan: LoadgenPlan,
        probe: Probe,
        answer_tokens: float,
        longest: int,
        num_queries: int | None = None,
    ) -> TimeLeft:
        """Of a test that is about to start; of `num_queries` samples where it asks for fewer than
        its plan.
        """
        expected_s = plan.expected_duration_s(probe.samples_per_s, probe.latency_s)
        by_clock = plan.ends_by_clock and plan.mode == "performance"
        return cls(
            num_queries or plan.num_queries,
            expected_s / plan.num_queries,
            answer_tokens,
            longest,
            per_s=plan.target_qps if plan.scenario.has_rate else None,
            duration_s=plan.min_duration_s if by_clock else None,
        )

    def after(self, figures: ProgressFigures, records: Iterable[AnswerRecord] = ()) -> float | None:
        """Seconds from these figures on; None before anything was read or made. `records` are of
        the answers that ended since the last call.
        """
        counts = [num_tokens for *_, num_tokens in records]
        self._answers = (self._answers[0] + len(counts), self._answers[1] + sum(counts))
        self._add(figures)
        if not figures.prompt_tokens and not figures.tokens:
            return None
        if self._duration_s is not None:
            return max(0.0, self._duration_s - figures.elapsed_s)
        prompt, answer = self._mean_lengths(figures)
        prompt_s, token_s = self._costs(prompt, answer)
        work_s = max(0.0, self.num_queries * prompt - figures.prompt_tokens) * prompt_s
        work_s += self._tokens_left(figures, prompt, answer) * token_s
        if self._per_s is None:
            return work_s
        return max(work_s, (self.num_queries - figures.issued) / self._per_s)

    def _add(self, figures: ProgressFigures) -> None:
        """What came since the last figures; time in which nothing came belongs to what follows."""
        last_s, *last = self._last
        prompts, tokens = figures.prompt_tokens - last[0], figures.tokens - last[1]
        if not prompts and not tokens:
            return
        seconds = figures.elapsed_s - last_s
        self._last = (figures.elapsed_s, figures.prompt_tokens, figures.tokens)
        self._pp += prompts * prompts
        self._pt += prompts * tokens
        self._tt += tokens * tokens
        self._ps += prompts * seconds
        self._ts += tokens * seconds

    def _mean_lengths(self, figures: ProgressFigures) -> tuple[float, float]:
        """Of a prompt, and of an answer."""
        ended, tokens = self._answers
        prompt = figures.prompt_tokens_issued / max(figures.issued, 1)
        expected = tokens + _WARM_UP_ANSWERS * self._answer_tokens
        return max(prompt, 1.0), expected / (ended + _WARM_UP_ANSWERS)

    def _tokens_left(self, figures: ProgressFigures, prompt: float, answer: float) -> float:
        """Of answers that are not ended. One that is longer already than most is taken to end half
        way to the longest.
        """
        ended, tokens = self._answers
        begun = max(figures.prompt_tokens / prompt - ended, 0.0)
        length = min(max(figures.tokens - tokens, 0) / max(begun, 1.0), self._longest)
        rest = max(answer - length, (self._longest - length) / 2)
        return begun * rest + max(self.num_queries - ended - begun, 0.0) * answer

    def _costs(self, prompt: float, answer: float) -> tuple[float, float]:
        """Seconds of a prompt token and of an answer's, by least squares, neither below 0. One
        sample, as the warm-up showed it, is among the observations.
        """
        sample_s = self._sample_s
        pp, tt = self._pp + prompt * prompt, self._tt + answer * answer
        pt = self._pt + prompt * answer
        ps = self._ps + prompt * sample_s
        ts = self._ts + answer * sample_s
        ps += _PULL * pp * sample_s / (2 * prompt)
        ts += _PULL * tt * sample_s / (2 * answer)
        pp, tt = pp * (1 + _PULL), tt * (1 + _PULL)
        determinant = pp * tt - pt * pt
        prompt_s = (ps * tt - ts * pt) / determinant
        token_s = (ts * pp - ps * pt) / determinant
        if prompt_s < 0:
            return 0.0, ts / tt
        if token_s < 0:
            return ps / pp, 0.0
        return prompt_s, token_s
