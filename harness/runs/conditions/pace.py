"""The conditions on when the tokens of an answer came: the first one was computed, and each was
handed over when it was made. Times to a first token, and for each that follows, mean nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.rules.verdict import Rule

if TYPE_CHECKING:
    from harness.loadgen.given import GivenAnswers

# What is shorter than this shows nothing: a busy machine hands several tokens over together.
_LONG_S = 0.05
# Of an answer of as many tokens as this, no more than this share comes at one moment; an engine
# that makes several tokens in a step stays far below.
_LONG = 16
_MAX_BURST = 0.25
# The first token takes an iteration over the whole prompt, the second one over one token.
_MIN_FIRST = 0.5


def of_pace(given: GivenAnswers) -> Iterator[Rule]:
    """All of them, for a test in which somebody waits for first tokens."""
    yield as_made(given)
    yield first_computed(given)


def as_made(given: GivenAnswers) -> Rule:
    """Tokens were handed over as they were made, and not kept back to be told together."""
    import numpy as np

    long = (given.lengths >= _LONG) & (given.latency_s >= _LONG_S)
    bursts = given.burst[long] / given.lengths[long]
    share = float(np.median(bursts)) if len(bursts) else 0.0
    return Rule(
        name="tokens as they are made",
        passed=share <= _MAX_BURST,
        measured=f"{share:.1%} of the median answer at one moment",
        allowed=f"{_MAX_BURST:.0%}: a time per output token needs tokens that come one by one",
        remedy="the executor must hand over each token when it is made",
        value=share,
        limit=_MAX_BURST,
    )


def first_computed(given: GivenAnswers) -> Rule:
    """The first token took the time of an iteration, as the second did."""
    import numpy as np

    followed = np.isfinite(given.second_s) & (given.latency_s >= _LONG_S)
    ratios = given.ttft_s[followed] / given.second_s[followed]
    ratio = float(np.median(ratios)) if len(ratios) else _MIN_FIRST
    return Rule(
        name="first tokens computed",
        passed=ratio >= _MIN_FIRST,
        measured=f"a first token after {ratio:.3g} times the wait for the second, in the median",
        allowed=f"{_MIN_FIRST:g} times or more: it takes the whole prompt, and the second does not",
        remedy="the executor must hand over the first token that the model chose",
        value=ratio,
        limit=_MIN_FIRST,
    )
