"""The accuracy gates: what the unquantised reference scores, and how much of it must be kept."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import PositiveFloat, model_validator

from build_engine.validation import Frozen

Metric = Literal["rouge1", "rouge2", "rougeL", "rougeLsum", "gen_len"]
ROUGE: tuple[Metric, ...] = ("rouge1", "rouge2", "rougeL", "rougeLsum")


class AccuracyTarget(Frozen):
    """Accuracy of the unquantised reference, and how much of it an engine must keep.

    `reference` holds ROUGE in percent and `gen_len`, the total length of the answers in characters.
    """

    reference: dict[Metric, PositiveFloat]
    ratio: PositiveFloat = 0.99
    gen_len_low: PositiveFloat = 0.9
    gen_len_high: PositiveFloat = 1.1

    @model_validator(mode="after")
    def _consistent(self) -> AccuracyTarget:
        if missing := [name for name in get_args(Metric) if name not in self.reference]:
            raise ValueError(f"`reference` lacks `{missing[0]}`; add it.")
        if self.gen_len_low > self.gen_len_high:
            raise ValueError("`gen_len_low` is above `gen_len_high`; swap them.")
        return self

    @property
    def gates(self) -> dict[Metric, tuple[float, float | None]]:
        """Lowest and highest accepted value by metric, both inclusive; None means no upper gate."""
        gates: dict[Metric, tuple[float, float | None]] = {
            name: (self.reference[name] * self.ratio, None) for name in ROUGE
        }
        length = self.reference["gen_len"]
        gates["gen_len"] = (length * self.gen_len_low, length * self.gen_len_high)
        return gates
