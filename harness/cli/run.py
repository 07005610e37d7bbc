"""`enginebench run`."""

from __future__ import annotations

from typing import Annotated

from harness.cli.measuring import measure
from harness.cli.options import FIELDS
from harness.runs.choice import RunChoice
from harness.runs.engine_choice import EngineChoice


def run(
    *,
    engine: Annotated[EngineChoice, FIELDS],
    choice: Annotated[RunChoice, FIELDS],
    simulate: bool = False,
    json: bool = False,
) -> int:
    """Benchmark an engine with MLPerf LoadGen; the engine is built first if the store lacks it.

    Parameters
    ----------
    simulate
        Have a time model of the planned engine answer instead, as a rehearsal: no weights, no
        build, no GPU, and no result. Prompts have the workload's lengths, unless --dataset is
        given.
    json
        Write run.json to standard output.
    """
    if simulate:
        from harness.simulation.choice import SimulatedChoice

        return measure(SimulatedChoice(engine, choice).request, json=json)
    return measure(lambda progress: choice.request(engine, progress), json=json)
