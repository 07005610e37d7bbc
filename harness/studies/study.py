"""A study that goes on: its folder, and its record, which is on the disk whenever it changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import Interrupted
from harness.studies.place import forget_runs, forgetting, is_forgetting
from harness.studies.record import ChosenRate, Point, StudyRecord, earlier_study
from harness.studies.turns import Turn, take_turn

if TYPE_CHECKING:
    from harness.progress import Progress
    from harness.runs.run import Run


@dataclass(slots=True)
class Study:
    """The study in a folder that this process holds."""

    folder: Path
    record: StudyRecord
    progress: Progress

    @classmethod
    def begin(cls, folder: Path, asked: StudyRecord, progress: Progress, *, fresh: bool) -> Study:
        """Go on with what is in `folder`, or with nothing of it where it is begun `fresh`: what a
        study measured there is removed.

        Raises UsageError for a study of another model or a record that cannot be read, and
        OutputError.
        """
        earlier = earlier_study(folder)
        if earlier is not None and asked.model is not None:
            earlier.require_model(asked.model, folder)
        forgets = is_forgetting(folder) or (fresh and earlier is not None)
        study = cls(folder, asked.after(None if forgets else earlier), progress)
        if not forgets:
            study.record.write(folder)
            return study
        with forgetting(folder):
            study.record.write(folder)  # before a run is removed, which it would name
            forget_runs(folder)
        return study

    def note(self, point: Point) -> None:
        """How a point is now; the result that it has stays where it could only not be had again."""
        if point.status == "failed" and point.folder is None and self.record.has_result(point):
            return
        self.record = self.record.with_point(point)
        self.record.write(self.folder)

    def run(self, point: Point, turn: Turn, title: str) -> Run:
        """The run of a planned `point`, taken up or made now; it may have failed. Raises as
        `take_turn`.
        """
        return take_turn(self.folder, turn, title, self.progress, lambda: self.note(point))

    def rate(self, conditions: str, choose: Callable[[], float | None]) -> float | None:
        """Queries a second for all engines: what was chosen for these `conditions` before, or is
        chosen now, and stays; None while it cannot be.
        """
        kept = self.record.rate_for(conditions)
        if kept is not None or (found := choose()) is None:
            return kept
        rate = ChosenRate(queries_per_s=found, conditions=conditions)
        self.record = self.record.model_copy(update={"rate": rate})
        self.record.write(self.folder)
        return found


def interrupted(folder: Path, again: Sequence[str], *, fresh: bool) -> Interrupted:
    """What is told of a study in `folder` that the user stops; `again` are the words of the command
    that goes on with it: not those of one that was begun `fresh`, which would begin anew.
    """
    same = "the same command without --fresh" if fresh else "the same command"
    return Interrupted(
        f"Interrupted; {same} goes on where it was, with what is complete in {folder}.", again
    )
