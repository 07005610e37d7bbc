"""What one probe showed: a LoadGen test at a rate, whole or shorter, or one in virtual time."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from build_engine.validation import Frozen, Grown

Kind = Literal["short", "long", "whole"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Of probes, by how many queries they have: of a whole run a small part, a larger one, or all."""


class RuntimeLimits(Frozen):
    """Limits of an engine's scheduler that are set when it is loaded: requests in flight, and
    tokens of one iteration.
    """

    max_batch_size: PositiveInt
    max_num_tokens: PositiveInt

    def __str__(self) -> str:
        return f"max_batch_size {self.max_batch_size}, max_num_tokens {self.max_num_tokens}"


class _Probe(Grown):
    """What a probe is asked with; `limits` are None for those that the engine was built with, and
    `turn` counts the probes that are repeated.
    """

    LATER: ClassVar[tuple[str, ...]] = ("limits", "turn")

    kind: Kind
    rate: PositiveFloat
    queries: PositiveInt
    limits: RuntimeLimits | None = None
    turn: NonNegativeInt = 0


class Step(_Probe):
    """A probe that is to be made: at `rate` queries a second, of `queries` queries, to be given up
    once more than `most_over` of them are beyond a limit.
    """

    most_over: NonNegativeInt


class Tail(Grown):
    """One latency of a probe's answers beside its limit, in seconds: the value at p99, that in the
    middle where it is known, and how many answers were not below the limit. An answer of one token
    has no TPOT.
    """

    LATER: ClassVar[tuple[str, ...]] = ("p50_s",)

    limit_s: PositiveFloat
    p99_s: NonNegativeFloat
    over: NonNegativeInt
    p50_s: NonNegativeFloat | None = None

    @property
    def load(self) -> float:
        """The share of the limit that is used up: above 1 it is missed."""
        return self.p99_s / self.limit_s


class ProbeOutcome(_Probe):
    """One probe at `rate` queries a second, of `queries` queries.

    `answered` are those until it ended or was `given_up`, because too many were beyond a limit.
    `valid` is the verdict on a whole run, None for anything less.
    """

    answered: NonNegativeInt
    given_up: bool
    ttft: Tail
    tpot: Tail
    valid: bool | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ProbeOutcome:
        if self.valid and (self.kind != "whole" or self.given_up):
            raise ValueError("only a whole run that went to its end is `valid`.")
        if self.answered > self.queries:
            raise ValueError("`answered` is more than `queries`.")
        return self

    @property
    def load(self) -> float:
        """That of the latency which is nearer to its limit, or further beyond."""
        return max(self.ttft.load, self.tpot.load)

    @property
    def passes(self) -> bool:
        """Whether a whole run at this rate would be VALID, as far as this probe tells."""
        if self.valid is not None:
            return self.valid
        return not self.given_up and self.load < 1.0

    @property
    def verdict(self) -> str:
        """In words. What passes is VALID only where a whole run was."""
        if self.given_up:
            return "given up"
        if self.valid is not None:
            return "VALID" if self.valid else "INVALID"
        return "within" if self.passes else "beyond"
