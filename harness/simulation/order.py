"""The order in which LoadGen draws samples: the standard generator of C++, and what GNU's library
makes of its words.

The standard leaves it to the library how a word becomes a number below a bound and how a shuffle
draws. With another library's LoadGen the order is another one, as random.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.rules.rounds import Seeds

_WORD = 2**32
_AT_ONCE = 4096


class DrawnOrder:
    """Samples, of `num_samples`, in the order of a test with a rate.

    Source: `GenerateLoadableSets`, `GenerateQueries` and the distributions before it in
    `loadgen.cc`; `uniform_int_dist.h` and `stl_algo.h` of libstdc++ 11 and newer.
    """

    def __init__(self, num_samples: int, least_queries: int, seeds: Seeds) -> None:
        self._loaded = _shuffled(num_samples, _words(seeds.qsl))
        self._words = _words(seeds.sample_index)
        _shuffled(num_samples, self._words)  # of another mode, drawn in every one
        places = list(range(num_samples))
        self._passes: list[int] = []
        for _ in range(-(-least_queries // num_samples)):
            _shuffle(places, self._words)
            self._passes += places

    def by_passes(self, count: int) -> list[int]:
        """So many in whole passes, in a random order each; what is beyond the least number of
        queries repeats the first ones.
        """
        drawn = self._passes
        return [self._loaded[drawn[number % len(drawn)]] for number in range(count)]

    def by_chance(self, count: int) -> list[int]:
        """So many, any sample at any time; they can be drawn once."""
        loaded = self._loaded
        return [loaded[_below(len(loaded), self._words)] for _ in range(count)]


def _words(seed: int) -> Iterator[int]:
    """Those of `std::mt19937`."""
    import numpy as np

    drawn = np.random.RandomState(seed % _WORD)
    while True:
        yield from drawn.randint(0, _WORD, _AT_ONCE, np.uint32).tolist()


def _below(bound: int, words: Iterator[int]) -> int:
    """A number below `bound`, by Lemire's multiplication."""
    product = next(words) * bound
    if product % _WORD < bound:
        least = (_WORD - bound) % bound
        while product % _WORD < least:
            product = next(words) * bound
    return product // _WORD


def _shuffled(count: int, words: Iterator[int]) -> list[int]:
    places = list(range(count))
    _shuffle(places, words)
    return places


def _shuffle(places: list[int], words: Iterator[int]) -> None:
    """In place, as `std::shuffle` does: while a word is enough for two draws, it makes two."""
    count, start = len(places), 1
    if count > _WORD // count:
        for last in range(1, count):
            _swap(places, last, _below(last + 1, words))
        return
    if count % 2 == 0:
        _swap(places, 1, _below(2, words))
        start = 2
    for last in range(start, count, 2):
        first, second = divmod(_below((last + 1) * (last + 2), words), last + 2)
        _swap(places, last, first)
        _swap(places, last + 1, second)


def _swap(places: list[int], one: int, other: int) -> None:
    places[one], places[other] = places[other], places[one]
