"""Published results, and what of the limits they reached: what is likely elsewhere.

Nothing is stated as an efficiency: each follows from a published figure and the same formulas that
plan with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Annotated

from pydantic import Field, PositiveFloat

from build_engine.config import Frozen, Name, Text, config_names, load_config
from build_engine.roofline.limits import Efficiency


class PublishedOffline(Frozen):
    """A result of Offline in samples/s of one GPU."""

    submitter: Text
    system: Text
    target: Name
    recipe: Name
    software: Text
    samples_per_s: PositiveFloat


class PublishedSingleStream(Frozen):
    """The time of a token (TPOT) of one request alone, and the bandwidth that its maker states."""

    submitter: Text
    system: Text
    recipe: Name
    software: Text
    tpot_ms: PositiveFloat
    bandwidth_gb_s: PositiveFloat


class Published(Frozen):
    """Results of one model."""

    name: Name
    title: Text
    model: Name
    offline: Annotated[list[PublishedOffline], Field(min_length=1)]
    single_stream: Annotated[list[PublishedSingleStream], Field(min_length=1)]
    sources: Annotated[list[Text], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Seen:
    """The least, the middle and the best of what was reached, and where the ends were seen."""

    low: Efficiency
    typical: Efficiency
    high: Efficiency
    source: str

    @classmethod
    def of(cls, compute: Iterable[tuple[float, str]], bandwidth: Iterable[float]) -> Seen:
        """From efficiencies of the arithmetic, each with its system, and of the bandwidth."""
        ranked, traffic = sorted(compute), sorted(bandwidth)
        (worst, first), (best, last) = ranked[0], ranked[-1]
        return cls(
            low=Efficiency(worst, traffic[0]),
            typical=Efficiency(median(value for value, _ in ranked), median(traffic)),
            high=Efficiency(best, traffic[-1]),
            source=f"as published results, {worst:.2f} ({first}) to {best:.2f} ({last}) of the "
            "arithmetic",
        )


def published_names() -> list[str]:
    """Names of the shipped collections."""
    return config_names("published")


def load_published(name: str) -> Published:
    """Shipped results by name, or those of a .yaml file. Raises UnknownName or ConfigError."""
    return load_config("published", name, Published)
