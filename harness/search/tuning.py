"""Which run-time limits of the scheduler serve a rate best: each is probed at the same rate, with
the same queries, beside the engine's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import PositiveFloat

from build_engine.validation import Frozen
from harness.search.outcome import ProbeOutcome, RuntimeLimits, Step

_LEAST_GAIN = 0.02  # of the load: less is not worth another search
_LEAST_TOKENS = 128
Oracle = Callable[[Step], ProbeOutcome]


class Tuning(Frozen):
    """What came of it. `own` are the limits that the engine was built with, `best` those of the
    least load among the others that were tried, and `gain` by how much more load the engine has
    with its own, as a share; `doubt` is how far probes of the same limits differ. `rate` is the
    highest rate whose run is VALID with `best`, where that was looked for and found.
    """

    own: RuntimeLimits
    best: RuntimeLimits
    tried: tuple[RuntimeLimits, ...]
    gain: float
    doubt: float
    rate: PositiveFloat | None = None

    @property
    def load(self) -> float:
        """The load with `best`, as a share of that with the engine's own."""
        return 1.0 / (1.0 + self.gain)

    @property
    def told_apart(self) -> bool:
        """Whether `best` are better beyond doubt."""
        return self.gain > max(self.doubt, _LEAST_GAIN)


def candidates(own: RuntimeLimits, least_tokens: int) -> tuple[RuntimeLimits, ...]:
    """Limits to try beside the engine's own, all within them: fewer tokens of an iteration let
    answers go on between parts of prompts, fewer requests share its memory. `least_tokens` is the
    longest prompt where prompts are not computed in parts.
    """
    tried = []
    for requests, tokens in ((1, 2), (1, 4), (2, 1), (2, 2)):
        limits = RuntimeLimits(
            max_batch_size=max(own.max_batch_size // requests, 1),
            max_num_tokens=max(own.max_num_tokens // tokens, 1),
        )
        least = max(least_tokens, limits.max_batch_size, _LEAST_TOKENS)
        if limits != own and limits.max_num_tokens >= min(least, own.max_num_tokens):
            tried.append(limits)
    return tuple(dict.fromkeys(tried))


def tune(own: RuntimeLimits, tried: Sequence[RuntimeLimits], step: Step, oracle: Oracle) -> Tuning:
    """Probe `tried` by `step`, and the engine's own limits before and after them."""
    first = oracle(step).load
    loads = [oracle(step.model_copy(update={"limits": limits})).load for limits in tried]
    best = tried[loads.index(min(loads))]
    again = oracle(step.model_copy(update={"limits": best, "turn": 1})).load
    last = oracle(step.model_copy(update={"turn": 1})).load
    with_own, with_best = (first + last) / 2, (min(loads) + again) / 2
    apart = max(abs(first - last) / with_own, abs(min(loads) - again) / with_best)
    return Tuning(
        own=own, best=best, tried=tuple(tried), gain=with_own / with_best - 1.0, doubt=apart
    )
