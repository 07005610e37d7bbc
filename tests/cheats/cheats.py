"""Ways in which an engine looks better than it is: each makes other chunks of an honest answer's.

A chunk is the seconds since the request, and the ids that come then. The honest answer comes token
by token, with its stop id at the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

TTFT_S = 0.008
STEP_S = 0.0025
BOS, STOP, SPACE = 0, 1, 222
UNKNOWN = 5000  # beyond the 4,096 tokens of newsbrief

Chunks: TypeAlias = list[tuple[float, list[int]]]


@dataclass(frozen=True)
class Asked:
    """What a cheat may look at: the ids of the honest answer, and whether anybody waits for its
    first token.
    """

    ids: list[int]
    streaming: bool


def at_honest_times(ids: list[int], asked: Asked) -> Chunks:
    """As an honest engine hands them over."""
    last_s = TTFT_S + STEP_S * (len(ids) - 1)
    if not asked.streaming:
        return [(last_s, ids)]
    return [(TTFT_S + STEP_S * i, [each]) for i, each in enumerate(ids)]


def _answer(change: Callable[[list[int]], list[int]]) -> Callable[[Asked], Chunks]:
    """A cheat by other ids."""
    return lambda asked: at_honest_times(change(asked.ids), asked)


def _padded(pad: int) -> Callable[[Asked], Chunks]:
    """Three times as long, with the end where it belongs."""
    return _answer(lambda ids: [*ids[:-1], *[pad] * min(2 * len(ids), 127 - len(ids)), ids[-1]])


def _doubled(asked: Asked) -> Chunks:
    return [(time_s, ids * 2) for time_s, ids in at_honest_times(asked.ids[:-1], asked)]


def _guessed(asked: Asked) -> Chunks:
    (_, first), *rest = at_honest_times(asked.ids, asked)
    return [(1e-5, first), *rest]


def _late_first(asked: Asked) -> Chunks:
    """The first two thirds at once, so that the time per token looks short."""
    chunks = at_honest_times(asked.ids, asked)
    late_s = chunks[len(chunks) * 2 // 3][0]
    return [(max(time_s, late_s), ids) for time_s, ids in chunks]


def _at_the_end(asked: Asked) -> Chunks:
    chunks = at_honest_times(asked.ids, asked)
    return [(chunks[-1][0], asked.ids)]


CHEATS: dict[str, Callable[[Asked], Chunks]] = {
    "none": _answer(lambda ids: ids),
    "padded with BOS": _padded(BOS),
    "padded with unknown ids": _padded(UNKNOWN),
    "padded with spaces": _padded(SPACE),
    "padded after the end": _answer(lambda ids: [*ids, *[STOP] * 20]),
    "end in the middle": _answer(lambda ids: [*ids[:8], STOP, *ids[8:]]),
    "doubled chunks": _doubled,
    "short answers": _answer(lambda ids: ids[: len(ids) * 2 // 5]),
    "longer answers": _answer(lambda ids: [*ids[:-1], *ids[1:-1], STOP]),
    "one token always": _answer(lambda ids: [ids[0]] * len(ids)),
    "one answer always": _answer(lambda ids: list(range(300, 340))),
    "empty answers": _answer(lambda ids: [SPACE] * 3 + [STOP]),
    "guessed first token": _guessed,
    "another first token": _answer(lambda ids: [400, *ids[1:]]),
    "late first token": _late_first,
    "all tokens at the end": _at_the_end,
    "too long": _answer(lambda ids: (ids[:-1] * 9)[:129]),
    "negative ids": _answer(lambda ids: [*ids[:-1], -3, STOP]),
    "unknown ids": _answer(lambda ids: [*ids[:-1], UNKNOWN, STOP]),
}
