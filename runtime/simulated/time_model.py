"""How long one iteration of an engine takes: arithmetic, then memory traffic, then the host's part.

They take turns, as in the serial limit of a roofline; what overlaps on a real device is part of the
efficiencies.
"""

from __future__ import annotations

import math
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from build_engine.roofline.rate import Rate
from build_engine.validation import Grown

Share = Annotated[float, Field(gt=0.0, le=1.0)]


class Work(NamedTuple):
    """What one iteration computes, in tokens."""

    tokens: int
    """Of prompts and of answers, that go through the layers."""
    pairs: float
    """Of a token and one that it attends to."""
    sampled: int
    """Tokens that are chosen: one of each answer that goes on, and of each prompt that ends."""
    read: int
    """Tokens of the cache that are read."""


class TimeModel(Grown):
    """A model on a device, in plain numbers: operations in FLOP, peaks in FLOP/s and bytes/s.

    `other` is what recipes do not quantise: attention and the head.
    """

    LATER: ClassVar[tuple[str, ...]] = ("other_by_rows",)

    linear_flops_per_token: PositiveFloat
    attention_flops_per_pair: NonNegativeFloat
    head_flops_per_token: NonNegativeFloat
    weight_bytes: NonNegativeFloat
    """Weights that every iteration reads; none where a cache holds them."""
    kv_bytes_per_token: PositiveFloat
    linear_flops_per_s: PositiveFloat
    linear_by_rows: tuple[tuple[PositiveInt, PositiveFloat], ...] = ()
    """The same by the tokens of an iteration, fewest first, where that is known (see `Rate`)."""
    other_flops_per_s: PositiveFloat
    other_by_rows: tuple[tuple[PositiveInt, PositiveFloat], ...] = ()
    bytes_per_s: PositiveFloat
    compute_efficiency: Share = 1.0
    """Of the peaks of arithmetic."""
    bandwidth_efficiency: Share = 1.0
    overhead_s: NonNegativeFloat = 0.0
    """The host's part of an iteration."""
    token_s: NonNegativeFloat = 0.0
    """Of each token beside its arithmetic and traffic."""
    sampled_s: NonNegativeFloat = 0.0
    """Of each that is chosen, beside `token_s`."""
    cached_s: NonNegativeFloat = 0.0
    """Of each that is read of the cache."""

    def seconds(self, work: Work) -> float:
        """Of one iteration."""
        other = (
            work.pairs * self.attention_flops_per_pair + work.sampled * self.head_flops_per_token
        )
        linear = work.tokens * self.linear_flops_per_token
        compute_s = linear / _at(self.linear_by_rows, work.tokens, self.linear_flops_per_s)
        compute_s += other / _at(self.other_by_rows, work.tokens, self.other_flops_per_s)
        cache = (work.read + work.tokens) * self.kv_bytes_per_token
        traffic_s = (self.weight_bytes + cache) / self.bytes_per_s
        return (
            compute_s / self.compute_efficiency
            + traffic_s / self.bandwidth_efficiency
            + self.overhead_s
            + work.tokens * self.token_s
            + work.sampled * self.sampled_s
            + work.read * self.cached_s
        )

    def slowed(self, arithmetic: float, memory: float) -> TimeModel:
        """The same with its arithmetic and its traffic so many times as long each, and the host's
        part by their geometric mean.
        """
        changes: dict[str, object] = {
            "linear_flops_per_s": self.linear_flops_per_s / arithmetic,
            "other_flops_per_s": self.other_flops_per_s / arithmetic,
            "token_s": self.token_s * arithmetic,
            "sampled_s": self.sampled_s * arithmetic,
            "bytes_per_s": self.bytes_per_s / memory,
            "cached_s": self.cached_s * memory,
            "overhead_s": self.overhead_s * math.sqrt(arithmetic * memory),
        }
        for name in ("linear_by_rows", "other_by_rows"):
            changes[name] = tuple((rows, rate / arithmetic) for rows, rate in getattr(self, name))
        return self.model_copy(update=changes)


def _at(by_rows: tuple[tuple[int, float], ...], tokens: int, otherwise: float) -> float:
    return Rate(by_rows).at(tokens) if by_rows else otherwise
