"""The conditions on how far answers are alike: different articles have different answers, and an
answer is not one token, or one text, again and again.

An engine whose weights are broken is found out by these as well as one that does not compute.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from harness.rules.verdict import Rule

if TYPE_CHECKING:
    from harness.runs.reading import Reading
    from runtime.executor import TokenIds

MANY = 0.5  # a share of the answers that is no accident of single articles
_LONG = 8  # ids from which on an answer is more than a word or two
_FEW = 2  # ids that an answer which repeats itself consists of


def of_likeness(by_sample: Mapping[int, TokenIds], reading: Reading) -> Iterator[Rule]:
    """All of them; `by_sample` has one answer for each sample."""
    yield different_answers(by_sample)
    yield different_ids(reading)
    yield not_doubled(reading)


def different_answers(by_sample: Mapping[int, TokenIds]) -> Rule:
    """No one answer is that of most samples."""
    times = Counter(ids.tobytes() for ids in by_sample.values())
    same = max(times.values(), default=0)
    most = max(int(MANY * len(by_sample)), 1)
    return Rule(
        name="different answers",
        passed=same <= most,
        measured=f"the same answer to {same:,} of {len(by_sample):,} samples",
        allowed=f"{most:,}",
        remedy="the engine must answer each article; check the checkpoint",
        value=same,
        limit=most,
        unit="samples",
    )


def different_ids(reading: Reading) -> Rule:
    """Answers do not consist of one token, or of two."""
    long = [len(ids) >= _LONG for ids in reading.known_ids]
    poor = [
        each and len(set(ids)) <= _FEW for ids, each in zip(reading.known_ids, long, strict=True)
    ]
    return _few_of("one token again and again", reading, long, poor, f"of at most {_FEW} tokens")


def not_doubled(reading: Reading) -> Rule:
    """Answers do not say everything twice, token by token or as a whole."""
    long = [len(ids) >= _LONG for ids in reading.known_ids]
    twice = [each and _is_doubled(ids) for ids, each in zip(reading.known_ids, long, strict=True)]
    return _few_of("doubled ids", reading, long, twice, "that have everything twice")


def _few_of(
    name: str, reading: Reading, long: Sequence[bool], wrong: Sequence[bool], which: str
) -> Rule:
    found, looked_at = reading.num_with(wrong), reading.num_with(long)
    most = int(MANY * looked_at)
    return Rule(
        name=name,
        passed=found <= most,
        measured=f"{found:,} of {looked_at:,} answers {which}",
        allowed=f"{most:,}",
        remedy="the engine must give what the model chose, once; check the checkpoint",
        value=found,
        limit=most,
        unit="answers",
    )


def _is_doubled(ids: Sequence[int]) -> bool:
    half = len(ids) // 2
    return ids[::2][:half] == ids[1::2] or ids[:half] == ids[half : 2 * half]
