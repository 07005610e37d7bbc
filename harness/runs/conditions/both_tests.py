"""The conditions on one test by another: the same samples have the same answers, however they are
asked.

Decoding is greedy, and yet floating point depends on the batch: now and then another token is as
likely, and an answer goes on otherwise. How often depends on the model: docs/running.md has what
was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.rules.verdict import Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from runtime.executor import TokenIds

MIN_SHARED = 0.25
"""Of an answer, by its ids from the first to where it parts from the other, on average: half of
what the most unsteady honest engine gave; one that answers otherwise shares nothing.
"""
_LENGTH_TOLERANCE = 0.01
_STANDARD_ERRORS = 3.0  # chance alone goes beyond in one of 370 tests


def of_both_tests(
    answers: Iterable[tuple[int, TokenIds]], others: Mapping[int, TokenIds], name: str
) -> Iterator[Rule]:
    """All of them: answers by their samples against those of the test `name`."""
    pairs = _pairs(answers, others)
    yield same_ids(pairs, name)
    yield same_length(pairs, name)


@dataclass(slots=True)
class _Pair:
    """The answers to one sample: the tokens of the other test's answer, how many there are here,
    their tokens, and how much they share with the other.
    """

    length: int
    count: int = 0
    total: int = 0
    shared: float = 0.0


def same_ids(pairs: Mapping[int, _Pair], name: str) -> Rule:
    """Answers begin as those of the other test do, but for chance: three standard errors of the
    mean over the samples.
    """
    import numpy as np

    shares = np.array([pair.shared / pair.count for pair in pairs.values()], np.float64)
    share = float(shares.mean()) if len(shares) else 1.0
    least = MIN_SHARED - _STANDARD_ERRORS * _error_of_mean(shares)
    return Rule(
        name=f"answers of the {name} test",
        passed=share >= least,
        measured=f"{share:.1%} of an answer is the same, over {len(shares):,} samples",
        allowed=f"{max(least, 0.0):.1%} or more",
        remedy="the engine must answer alike in every test",
        value=share,
        limit=max(least, 0.0),
    )


def same_length(pairs: Mapping[int, _Pair], name: str) -> Rule:
    """The mean answer to the same samples is as long as in the other test, but for chance.

    The difference may be 1 %, and three standard errors of the mean over the samples: an answer
    that goes on otherwise is sometimes longer and sometimes shorter.
    """
    import numpy as np

    theirs = np.array([pair.length for pair in pairs.values()], np.float64)
    ours = np.array([pair.total / pair.count for pair in pairs.values()], np.float64)
    mean, other = (float(each.mean()) if len(each) else 0.0 for each in (ours, theirs))
    allowed = _LENGTH_TOLERANCE * other + _STANDARD_ERRORS * _error_of_mean(ours - theirs)
    difference = abs(mean - other)
    return Rule(
        name=f"lengths of the {name} test",
        passed=difference <= allowed,
        measured=f"{mean:.2f} tokens an answer, {difference:.2f} from the {other:.2f} there",
        allowed=f"{allowed:.2f} tokens from it, over the same {len(pairs):,} samples"
        if math.isfinite(allowed)
        else "what two samples or more would show",
        remedy="the engine must answer alike in every test",
        value=difference,
        limit=allowed if math.isfinite(allowed) else None,
        unit="tokens",
    )


def _error_of_mean(values: NDArray[np.float64]) -> float:
    """The standard error of a mean; infinite for one value, which shows nothing."""
    if len(values) < 2:
        return math.inf
    return float(values.std(ddof=1)) / math.sqrt(len(values))


def _pairs(
    answers: Iterable[tuple[int, TokenIds]], others: Mapping[int, TokenIds]
) -> dict[int, _Pair]:
    """By sample, of those that both tests asked."""
    found: dict[int, _Pair] = {}
    known: dict[tuple[int, bytes], float] = {}
    for sample, ids in answers:
        other = others.get(sample)
        if other is None:
            continue
        pair = found.setdefault(sample, _Pair(len(other)))
        key = (sample, ids.tobytes())
        if key not in known:
            known[key] = shared(ids, other)
        pair.count += 1
        pair.total += len(ids)
        pair.shared += known[key]
    return found


def shared(ids: TokenIds, other: TokenIds) -> float:
    """The share of the longer answer that is the same in both, from the first id on."""
    least, most = sorted((len(ids), len(other)))
    if not most:
        return 1.0
    parted = (ids[:least] != other[:least]).nonzero()[0]
    return (int(parted[0]) if len(parted) else least) / most
