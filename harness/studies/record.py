"""`study.json`: which runs a study consists of, and how each of them went; true at every moment."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import PositiveInt

from build_engine.errors import UsageError
from build_engine.files import cannot_write, write_json
from build_engine.records import Record, read_record
from build_engine.validation import Frozen, Name, Text
from harness.rules.scenario import Scenario

STUDY = "study.json"
_REMEDY = "start the sweep again with a new --output"


class Point(Frozen):
    """One run of a study. `engine` is how the study calls its engine; `folder` is that of the run,
    as a name in the study's folder, once it began; `cause` says why a point failed.
    """

    engine: Text
    target: Name
    recipe: Name
    emulated: bool
    scenario: Scenario
    repeat: PositiveInt
    status: Literal["planned", "complete", "failed"] = "planned"
    folder: Text | None = None
    cause: str | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """What no two points of a study have in common."""
        return self.engine, self.scenario, self.repeat


class StudyRecord(Record):
    """The content of `study.json`; `points` in the order in which they run."""

    SCHEMA: ClassVar[int] = 1

    command: Text
    started_utc: str
    points: tuple[Point, ...]
    model: Text | None = None
    """The checkpoint, a folder by its whole path; None in a record that does not say."""

    def require_model(self, model: str, folder: Path) -> None:
        """Raise UsageError where this, the study in `folder`, is of another model: its points would
        take each other's place.
        """
        if self.model not in (None, model):
            raise UsageError(
                f"{folder} has a sweep of another model, {self.model}; give this one another "
                f"--output."
            )

    def with_point(self, point: Point) -> StudyRecord:
        """The same with this point in the place of its earlier state."""
        points = (point if each.place == point.place else each for each in self.points)
        return self.model_copy(update={"points": tuple(points)})

    def after(self, earlier: StudyRecord | None) -> StudyRecord:
        """The same behind the points of an earlier plan that were measured, or failed, and are not
        asked for now.
        """
        if earlier is None:
            return self
        asked = {point.place for point in self.points}
        kept = (
            point
            for point in earlier.points
            if point.status != "planned" and point.place not in asked
        )
        return self.model_copy(update={"points": (*kept, *self.points)})

    def write(self, folder: Path) -> None:
        """Write it into the study's folder. Raises OutputError."""
        try:
            write_json(folder / STUDY, self.to_json())
        except OSError as error:
            raise cannot_write(folder, error) from None


def read_study(folder: Path) -> StudyRecord:
    """The record of the study in `folder`. Raises UsageError for one that cannot be read, and
    FileNotFoundError where there is none.
    """
    return read_record(folder / STUDY, StudyRecord, UsageError, _REMEDY)
