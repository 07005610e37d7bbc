"""How close a run came to what its machine can do at best: figures, their limits, and what these
follow from.
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt

from build_engine.validation import Frozen, Grown, Text

PartName = Literal["all", "prefill", "decode", "p90"]


class LimitInputs(Grown):
    """What the limits follow from. `prompt_tokens` and `answer_tokens` are means of the test,
    `p90_...` the same at p90 where there is such a part, and `requests` is how many were computed
    at once at most. Of replicas all this is of one, and the limits are of the `replicas` that
    computed at the same time.

    FLOP/s are those of many tokens at once (`linear`: of the linear layers, `other`: of attention
    and of the head), and of so few as a step of answers has. `step_bytes` are weights that each
    step reads from memory: 0 where the CPU's cache holds them.
    """

    LATER: ClassVar[tuple[str, ...]] = ("p90_prompt_tokens", "p90_answer_tokens", "replicas")

    peaks: Text
    linear_flops_per_s: PositiveFloat
    other_flops_per_s: PositiveFloat
    step_linear_flops_per_s: PositiveFloat
    step_other_flops_per_s: PositiveFloat
    bytes_per_s: PositiveFloat
    prompt_tokens: PositiveFloat
    answer_tokens: PositiveFloat
    requests: PositiveInt
    resident_bytes: NonNegativeInt
    step_bytes: NonNegativeInt
    kv_token_bytes: NonNegativeFloat
    p90_prompt_tokens: PositiveInt | None = None
    p90_answer_tokens: PositiveInt | None = None
    replicas: PositiveInt = 1

    @property
    def sentence(self) -> str:
        """The peaks, and where they come from."""
        of_each = f"{self.replicas} times " if self.replicas > 1 else ""
        return (
            f"{of_each}{self.linear_flops_per_s / 1e12:,.3g} TFLOP/s "
            f"({self.step_linear_flops_per_s / 1e12:,.3g} in a step of {self.requests}) and "
            f"{self.bytes_per_s / 1e9:,.3g} GB/s, {self.peaks}"
        )


class PartOfLimit(Frozen):
    """Tokens/s of answers (of prompts in `prefill`), beside the overlap limit, at which arithmetic
    and traffic hide each other, and the serial one, at which they take turns.
    """

    name: PartName
    achieved: PositiveFloat
    overlap_limit: PositiveFloat
    serial_limit: PositiveFloat
    of_overlap: PositiveFloat
    of_serial: PositiveFloat

    @classmethod
    def of(
        cls, name: PartName, achieved: float, arithmetic_s: float, traffic_s: float
    ) -> PartOfLimit:
        """From the seconds of a token."""
        overlap, serial = 1 / max(arithmetic_s, traffic_s), 1 / (arithmetic_s + traffic_s)
        return cls(
            name=name,
            achieved=achieved,
            overlap_limit=overlap,
            serial_limit=serial,
            of_overlap=achieved / overlap,
            of_serial=achieved / serial,
        )

    @property
    def sentence(self) -> str:
        """Share and limit of both kinds."""
        tokens = "prompt tokens/s" if self.name == "prefill" else "tokens/s"
        return (
            f"{self.of_overlap:.0%} of {self.overlap_limit:,.0f} {tokens} "
            f"({self.of_serial:.0%} of {self.serial_limit:,.0f} serial)"
        )


class LimitsRecord(Frozen):
    """The first performance test beside its limits. Prefill and decode are there where they can be
    told apart: always in SingleStream, else where the test's timeline tells their costs. `p90` is
    the latency at p90 as tokens/s of such a request, in SingleStream.
    """

    inputs: LimitInputs
    parts: tuple[PartOfLimit, ...]

    def part(self, name: PartName) -> PartOfLimit | None:
        """One of them."""
        return next((part for part in self.parts if part.name == name), None)
