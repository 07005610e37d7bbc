"""What a way to an engine costs: one replica through Ray, and a server of ours on this machine,
beside the engine in a process of its own.

All of them are loaded, and answer the same samples under LoadGen's Offline in turn, so that a
machine that gets slower or faster favours none. Here the engine computes on the same cores as all
that is between it and LoadGen: what that takes is lost. What Ray takes while it has nothing to do
is lost in all turns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.result import Figure, Result, ratios
from benchmarks.served import served
from benchmarks.turns import Side, Turns
from harness.dataset.sources.bundled import NAME as BUNDLED
from runtime.replicas.spec import ReplicasSpec

if TYPE_CHECKING:
    from harness.progress import Progress

RAY_GOAL = 0.97
SERVER_GOAL = 0.9
_OWN, _RAY, _SERVER = "in a process", "through Ray", "through `serve`"


def measure(recipe: str, count: int, repeats: int, progress: Progress) -> Result:
    """`repeats` rounds of `count` samples each."""
    turns = Turns.of(recipe, count, progress)
    progress.phase(f"ways: {repeats} rounds of {count} samples")
    own = turns.job.executor
    with served(turns.engine) as endpoint:
        sides = (
            Side(_OWN, own),
            Side(_RAY, ReplicasSpec(each=(own,), count=1, device="cores")),
            Side(_SERVER, endpoint),
        )
        taken = turns.take(sides, repeats)
    rates = {name: tuple(turn.tokens_per_s for turn in told) for name, told in taken.items()}
    return Result(
        title="What a way to an engine costs (LoadGen Offline)",
        figures=(
            Figure(
                "through Ray / in a process",
                "",
                ratios(rates[_RAY], rates[_OWN]),
                at_least=RAY_GOAL,
            ),
            Figure(
                "`serve` / in a process",
                "",
                ratios(rates[_SERVER], rates[_OWN]),
                at_least=SERVER_GOAL,
            ),
            *(Figure(name, "tok/s", rate) for name, rate in rates.items()),
        ),
        notes=(
            f"{BUNDLED} {recipe}, {count} samples once each in LoadGen's order, {repeats} rounds in"
            " turn, after a pass that does not count; all three are loaded all the time",
        ),
        details={"recipe": recipe, "num_samples": count},
    )
