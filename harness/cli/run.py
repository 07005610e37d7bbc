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
    json: bool = False,
) -> int:
    """Benchmark an engine with MLPerf LoadGen; the engine is built first if the store lacks it.

    Parameters
    ----------
    json
        Write run.json to standard output.
    """
    return measure(lambda progress: choice.request(engine, progress), json=json)
