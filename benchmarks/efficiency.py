"""What the harness costs: tokens a second under LoadGen as a share of the bare executor's.

Both sides answer the same requests in the same order with the same loaded engine in one process
(`benchmarks/sides.py`), and take turns, in the order A B, B A, A B, so that a machine that gets
slower or faster favours neither. LoadGen's side is timed by LoadGen's own log, the bare side from
its submission to its last token.

A second account does not depend on a quiet machine: the CPU time of that process, which on a CPU
target is taken from the engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.result import Figure, Result, ratios
from benchmarks.turns import Side, Turns
from harness.dataset.sources.bundled import NAME as BUNDLED

if TYPE_CHECKING:
    from harness.progress import Progress

GOAL = 0.98
COST_GOAL = 100 * (1 - GOAL)


def measure(recipe: str, count: int, repeats: int, progress: Progress) -> Result:
    """`repeats` pairs of `count` samples each."""
    turns = Turns.of(recipe, count, progress)
    progress.phase(f"efficiency: {repeats} pairs of {count} samples")
    spec = turns.job.executor
    sides = (Side("loadgen", spec), Side("bare", spec, loadgen=False))
    taken = turns.take(sides, repeats)
    rates = {name: [turn.tokens_per_s for turn in told] for name, told in taken.items()}
    costs = {name: [turn.cpu_percent for turn in told] for name, told in taken.items()}
    added = [a - b for a, b in zip(costs["loadgen"], costs["bare"], strict=True)]
    return Result(
        title="Harness efficiency (LoadGen Offline against the bare executor)",
        figures=(
            Figure("LoadGen / bare", "", ratios(rates["loadgen"], rates["bare"]), at_least=GOAL),
            Figure("under LoadGen", "tok/s", tuple(rates["loadgen"])),
            Figure("bare executor", "tok/s", tuple(rates["bare"])),
            Figure("CPU of the process, LoadGen", "% of all", tuple(costs["loadgen"])),
            Figure("CPU of the process, bare", "% of all", tuple(costs["bare"])),
            Figure("harness cost by CPU time", "% of all", tuple(added), at_most=COST_GOAL),
        ),
        notes=(
            f"{BUNDLED} {recipe}, {count} samples once each in LoadGen's order, {repeats} pairs in "
            "turn on one loaded engine, after a pass that does not count",
        ),
        details={"recipe": recipe, "num_samples": count},
    )
