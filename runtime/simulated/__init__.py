"""Answers from a time model, never a measurement: scripted ones, or those of a simulated engine."""

from runtime.simulated.executor import SimulatedExecutor
from runtime.simulated.spec import SimulatedSpec

__all__ = ["SimulatedExecutor", "SimulatedSpec"]
