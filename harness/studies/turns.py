"""The runs of a study, one at a time, each in a folder named by the digest of its inputs.

A run that is complete there, and as it was written, is taken up; what else lies there is a leftover
of an interrupted study, and is cleared. So a study that is started again goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted, UsageError
from build_engine.store.sealed import content_key
from build_engine.store.spec import SHORT_KEY_LEN
from harness.machine.facts import library_versions
from harness.runs.execution import execute
from harness.runs.integrity import edits
from harness.runs.run import Run
from harness.studies.place import clear, require_folder, run_folder_name

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
        asked = what_is_asked(self.choice, self.dataset, self.workload_settings)
        inputs = [self.engine.key, self.choice.mode, asked, library_versions(), self.again]
        return content_key(inputs)[:SHORT_KEY_LEN]

    @property
    def folder_name(self) -> str:
        """Of its run."""
        return run_folder_name(self.name, self.choice.scenario, self.again, self.digest)


def what_is_asked(choice: RunChoice, dataset: Dataset, settings: tuple[str, ...]) -> object:
    """All that decides what a run asks of its engine, as plain JSON values: of files what is in
    them, as their names say nothing. Raises what `RunChoice.asked` raises.
    """
    scope = choice.scope(choice.asked(settings), dataset)
    return [
        scope.scenario,
        scope.workload.model_dump(mode="json"),
        scope.round.model_dump(mode="json"),
        dataset.digest,
        scope.num_samples,
        scope.own_set,
        scope.qps,
        scope.duration_s,
    ]


def take_turn(
    folder: Path, turn: Turn, title: str, progress: Progress, begins: Callable[[], None]
) -> Run:
    """The run of `turn` below a study's `folder`, which is held: an earlier one, or one made now,
    which may have failed; it `begins` once it is known that it has to be made.

    Raises Interrupted when the user stops it, UsageError while another process makes it.
    """
    place = folder / turn.folder_name
    require_folder(place)
    earlier = finished_run(place)
    if earlier is not None:
        progress.note(f"{title}: measured {earlier.record.started_utc}")
        return earlier
    _require_over(place)
    begins()
    clear(place)
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


def _require_over(folder: Path) -> None:
    """Raise UsageError where a run goes on in `folder`.

    What another host left as running is over, as nobody there has the study's lock any more. Of
    this host it is known what goes on.
    """
    try:
        run = Run.read(folder)
    except UsageError:
        return
    process = run.record.process
    if run.record.status == "running" and run.begun_here:
        raise UsageError(
            f"A run goes on in {folder} (process {process.pid} on {process.host}, since "
            f"{run.record.started_utc}); wait for it, or remove that folder if it is gone."
        )
