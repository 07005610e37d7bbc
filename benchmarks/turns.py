"""What the efficiency benchmark and its process (`benchmarks/both_sides.py`) say to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from harness.loadgen.job import Job
from harness.loadgen.messages import StartTest

Side = Literal["loadgen", "bare"]


@dataclass(frozen=True, slots=True)
class Measure:
    """To the process: answer the samples of `order` on both sides, `repeats` times each."""

    job: Job
    start: StartTest
    order: list[int]
    repeats: int


@dataclass(frozen=True, slots=True)
class Turn:
    """From the process: one side's rate, and the CPU time of the process meanwhile as a percentage
    of all CPUs.
    """

    side: Side
    tokens_per_s: float
    cpu_percent: float
