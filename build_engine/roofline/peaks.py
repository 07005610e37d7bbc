"""What a machine can do at most: operations by precision, and memory traffic.

Of a GPU the target file says it, of a CPU only a measurement of that machine; where nobody does,
there are no peaks rather than plausible ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from build_engine.roofline.costs import StepCosts
from build_engine.roofline.rate import Rate
from build_engine.target import Detected

if TYPE_CHECKING:
    from build_engine.target import Target


@dataclass(frozen=True, slots=True)
class MeasuredSteps:
    """What was measured of a machine beside its peaks: what steps cost, how much of the peaks the
    slowest and the middle measurement reached (of products and of the bandwidth), and FLOP/s by the
    kind of the weights, where these are not what is multiplied.
    """

    costs: StepCosts
    slowest: tuple[float, float]
    middle: tuple[float, float]
    weights: Mapping[str, Rate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Peaks:
    """Operations in FLOP/s by precision, and bytes/s of the memory; `source` says how they are
    known.
    """

    flops: Mapping[str, float]
    bandwidth: float
    source: str
    by_rows: Mapping[str, Rate] = field(default_factory=dict)
    """The same by how many rows are multiplied at once, where that was measured."""
    cache_bytes: int = 0
    """Of the machine's last cache, where that is known: smaller weights are read from there."""
    steps: MeasuredSteps | None = None

    def rate(self, precision: str) -> Rate:
        """FLOP/s in a precision by the rows. Raises KeyError for one without a peak."""
        return self.by_rows.get(precision) or Rate.flat(self.flops[precision])

    def part(self, of_flops: float, of_bandwidth: float) -> Peaks:
        """Those of a part of the machine, by its shares. It is not taken to have less of the cache,
        which may be one of several.
        """
        return replace(
            self,
            flops={name: flops * of_flops for name, flops in self.flops.items()},
            bandwidth=self.bandwidth * of_bandwidth,
            by_rows={name: rate.part(of_flops) for name, rate in self.by_rows.items()},
            steps=None,
        )


def stated_peaks(target: Target) -> Detected[Peaks | None]:
    """The peaks that a target file states, and how that is known."""
    if target.bandwidth_gb_s is None or not target.dense_tflops:
        return Detected(
            None,
            f"target `{target.name}` states no peaks, because they differ from machine to machine, "
            "and none were measured here",
        )
    flops = {precision: peak * 1e12 for precision, peak in target.dense_tflops.items()}
    source = f"dense peaks and bandwidth that target `{target.name}` states"
    return Detected(Peaks(flops, target.bandwidth_gb_s * 1e9, source), source)
