"""The peaks that plans go by: those of this machine's CPU are measured, all others stated."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from build_engine.roofline.peaks import stated_peaks
from harness.machine.measured import measured_peaks

if TYPE_CHECKING:
    from build_engine.roofline.peaks import Peaks
    from build_engine.target import Target


def is_this_cpu(target: Target) -> bool:
    """Whether a target is the CPU of this machine, and states no peaks of another."""
    return target.kind == "cpu" and target.bandwidth_gb_s is None and not target.dense_tflops


def known_peaks(target: Target) -> Peaks | None:
    """Those that were measured of this machine, or those that the target states; None where nobody
    does.
    """
    return measured_here([target]).get(target.name) or stated_peaks(target).value


def measured_here(targets: Iterable[Target]) -> dict[str, Peaks]:
    """Measured peaks by the name of the target; none where none were measured."""
    wanted = {target.name for target in targets if is_this_cpu(target)}
    peaks = measured_peaks() if wanted else None
    return dict.fromkeys(wanted, peaks) if peaks else {}
