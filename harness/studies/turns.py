"""The runs of a study, one at a time, each in a folder named by the digest of its inputs.

A run that is complete there, and as it was written, is taken up; what else lies there is a leftover
of an interrupted study, and is cleared. So a study that is started again goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted, UsageError
from harness.machine.facts import library_versions
from harness.runs.execution import execute
from harness.runs.integrity import edits
from harness.runs.run import Run
from harness.studies.place import clear, require_folder

if TYPE_CHECKING:
    from build_engine.store.engine import Engine
    from harness.dataset.prepared import Dataset
    from harness.progress import Progress
    from harness.runs.choice import RunChoice


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a study: what is asked of an engine, for the `again`-th time. `name` is what its
    folder is called before the digest.
    """

    engine: Engine
    choice: RunChoice
    dataset: Dataset
    again: int
    name: str
    workload_settings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of all that decides what is measured."""
        choice = self.choice
        inputs = [
            self.engine.key,
            choice.scenario,
            choice.mode,
            choice.workload,
            self.workload_settings,
            self.dataset.digest,
            self.dataset.num_samples,
            choice.qps,
            choice.duration_s,
            choice.round,
            library_versions(),
            self.again,
        ]
        return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def folder_name(self) -> str:
        """Of its run."""
        number = f"-{self.again}" if self.again > 1 else ""
        return f"{self.name}-{self.choice.scenario.lower()}{number}-{self.digest}"


def take_turn(folder: Path, turn: Turn, title: str, progress: Progress, *, fresh: bool) -> Run:
    """The run of `turn` below a study's `folder`: an earlier one unless `fresh`, or one made now,
    which may have failed.

    Raises Interrupted when the user stops it, UsageError while another process makes it.
    """
    place = folder / turn.folder_name
    earlier = _earlier(place, fresh=fresh)
    if earlier is not None:
        progress.note(f"{title}: measured {earlier.record.started_utc}")
        return earlier
    progress.phase(title)
    choice = replace(turn.choice, output=place)
    request = choice.request_on(turn.engine, turn.dataset, turn.workload_settings)
    run = execute(request, progress)
    if run.record.status == "interrupted":
        raise Interrupted("Interrupted; start it again to go on where it was.")
    return run


def finished_run(folder: Path) -> Run | None:
    """The run in `folder` where it is complete, and as it was written; not what a link leads to."""
    if folder.is_symlink():
        return None
    try:
        run = Run.read(folder)
    except UsageError:
        return None
    return run if run.record.status == "complete" and not any(edits(run)) else None


def _earlier(folder: Path, *, fresh: bool) -> Run | None:
    """The complete run in `folder`; any other leftover there is the study's own, and cleared.

    The study's folder is held: a run that another host left as running is over, as nobody there
    has the lock any more. Of this host it is known what goes on.

    Raises UsageError for what no study leaves there, OutputError for what cannot be cleared.
    """
    require_folder(folder)
    if not folder.exists():
        return None
    if not fresh and (finished := finished_run(folder)) is not None:
        return finished
    try:
        run = Run.read(folder)
    except UsageError:
        run = None
    if run is not None and run.record.status == "running" and run.begun_here:
        process = run.record.process
        raise UsageError(
            f"A run goes on in {folder} (process {process.pid} on {process.host}, since "
            f"{run.record.started_utc}); wait for it, or remove that folder if it is gone."
        )
    clear(folder)
    return None
