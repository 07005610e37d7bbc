"""How an engine keeps what it reads, and in which precisions it computes: what a recipe means for
bytes and peaks.
"""

from __future__ import annotations

from dataclasses import dataclass

_SCALE_BYTES = 2  # of a group of weights: a scale in 16 bits


@dataclass(frozen=True, slots=True)
class CacheShare:
    """What an executor takes for the cache of the memory that is free once it is loaded: all but
    `reserve` bytes, which the runtime needs, and in any case from `least` to `most` of it.
    """

    least: float
    most: float
    reserve: int = 0

    def of(self, free_bytes: int) -> float:
        """The share of so much memory, in hundredths."""
        if free_bytes <= 0:
            return self.least
        wanted = int(100 * (1 - self.reserve / free_bytes)) / 100
        return min(self.most, max(self.least, wanted))


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Bytes of each kind of element in an engine's memory, and the arithmetic on them."""

    linear_bytes: float
    """Of a weight of a linear layer, with its part of a group's scale."""
    table_bytes: float
    """Of an element of the embedding and of the head."""
    shares_table: bool
    """Whether head and embedding are one table."""
    kv_bytes: float
    """Of an element of the KV cache, as it is read."""
    kv_reserved_bytes: float
    """The same, as the executor reckons when it takes memory for the cache."""
    activation_bytes: int
    """Of an element between two layers."""
    linear_math: str
    """Precision in which the linear layers are computed, as targets name their peaks."""
    other_math: str
    """That of attention and of the head."""
    cache_share: CacheShare
    """What the executor takes for the cache."""
    chunked: bool
    """Whether a long prompt can be computed in several iterations."""


def grouped_bytes(bits: int, group_size: int | None, symmetric: bool) -> float:
    """Bytes of a weight of `bits` of which `group_size` share a scale, and, asymmetric, a zero of
    the weight's own size. One scale for a whole output channel is not counted.
    """
    if group_size is None:
        return bits / 8
    zero = 0.0 if symmetric else bits / 8
    return bits / 8 + (_SCALE_BYTES + zero) / group_size
