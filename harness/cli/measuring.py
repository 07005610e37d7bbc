"""One run from a request to what is told of it: what the commands that measure have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted
from harness.cli.output import Output

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.runs.request import RunRequest


def measure(prepare: Callable[[Progress], RunRequest], *, json: bool) -> int:
    """Carry out what `prepare` makes, and show it; the exit code."""
    from harness.cli.summary import again_in, show_run
    from harness.progress import make_progress
    from harness.runs.execution import execute

    out = Output(as_json=json)
    progress = make_progress()
    request = None
    try:
        try:
            request = prepare(progress)
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
