"""What an engine is tuned for: many requests at once, or the shortest answer to few.

A profile decides sizes that the user left open, and the shape for which TensorRT picks its kernels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from build_engine.store.limits import EngineLimits


class Profile(str, Enum):
    """What an engine is tuned for."""

    THROUGHPUT = "throughput"
    LATENCY = "latency"

    __str__ = str.__str__


@dataclass(frozen=True, slots=True)
class OptimalTokens:
    """The tokens of one iteration that TensorRT optimises for, and why so many."""

    value: int
    reason: str


def optimal_tokens(profile: Profile, limits: EngineLimits) -> OptimalTokens:
    """The usual size of an iteration under this profile."""
    batch, most = limits.max_batch_size, limits.max_num_tokens
    if profile is Profile.LATENCY:
        return OptimalTokens(
            min(batch, most),
            "latency: nearly every iteration has one new token a request, and kernels are timed "
            "for that",
        )
    # While a request's answer is written (one iteration a token), as many prompts must be read as
    # answers end: every iteration has this share of them.
    steady = batch + batch * limits.max_input_len // limits.max_new_tokens
    return OptimalTokens(
        min(steady, most),
        "throughput: an iteration has a new token of each request and its share of the prompts "
        f"that come in ({steady} with every length at its limit), up to max_num_tokens",
    )
