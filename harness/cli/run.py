"""`enginebench run`."""

from __future__ import annotations

from typing import Annotated

from build_engine.errors import Interrupted
from harness.cli.options import FIELDS
from harness.cli.output import Output
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
    from harness.cli.summary import again_in, show_run
    from harness.progress import make_progress
    from harness.runs.execution import execute

    out = Output(as_json=json)
    progress = make_progress()
    request = None
    try:
        try:
            request = choice.request(engine, progress)
            finished = execute(request, progress)
        finally:
            progress.close()
        show_run(out, finished)
    except KeyboardInterrupt:  # once more: the first is answered by `execute`
        if request is None or not request.folder.exists():
            raise
        raise Interrupted(
            f"Interrupted; what was measured is in {request.folder}.",
            again_in(request.command, request.folder),
        ) from None
    out.result(finished.record.to_json())
    return finished.exit_code
