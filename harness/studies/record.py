"""`study.json`: which runs a study consists of, and how each of them went; true at every moment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import PositiveFloat, PositiveInt

from build_engine.errors import UsageError
from build_engine.files import cannot_write, write_json
from build_engine.records import Record, read_record
from build_engine.validation import Frozen, Grown, Name, Text
from harness.rules.scenario import Scenario
from harness.studies.place import is_folder_of_a_run

if TYPE_CHECKING:
    from harness.runs.run import Run

STUDY = "study.json"
_REMEDY = "start it again with a new --output"


class Point(Grown):
    """One run of a study. `engine` is how the study calls its engine; `folder` is that of the run,
    as a name in the study's folder, once it ended; `cause` says why a point failed.

    `engine_digest` and `run_digest` are those of `digests.py`: what the engine is chosen by, and
    what the run asks of it. None in a record of before there were any.
    """

    LATER: ClassVar[tuple[str, ...]] = ("engine_digest", "run_digest")

    engine: Text
    target: Name
    recipe: Name
    emulated: bool
    scenario: Scenario
    repeat: PositiveInt
    status: Literal["planned", "complete", "failed"] = "planned"
    folder: Text | None = None
    cause: str | None = None
    engine_digest: Text | None = None
    run_digest: Text | None = None

    @property
    def place(self) -> tuple[str, str, int]:
        """What no two points of a study have in common."""
        return self.engine_digest or self.engine, self.scenario, self.repeat

    @property
    def names(self) -> tuple[str, str, int]:
        """The same as people say it; the place of a point without digests."""
        return self.engine, self.scenario, self.repeat

    def ended(self, run: Run) -> Point:
        """The same with how its run went."""
        failed = run.record.status == "failed"
        return self.model_copy(
            update={
                "status": "failed" if failed else "complete",
                "folder": run.folder.path.name,
                "cause": run.record.cause,
            }
        )

    def as_known(self, earlier: Point | None) -> Point:
        """The same with how it went in an `earlier` command that asked the same of it."""
        if earlier is None or earlier.run_digest != self.run_digest:
            return self
        known = {name: getattr(earlier, name) for name in ("status", "folder", "cause")}
        return self.model_copy(update=known)


class ChosenRate(Frozen):
    """The rate that a study asks of all its engines, where nobody said one: chosen once.
    `conditions` is the digest of what it was chosen for.
    """

    queries_per_s: PositiveFloat
    conditions: Text


class StudyRecord(Grown, Record):
    """The content of `study.json`; `points` in the order in which they run."""

    LATER: ClassVar[tuple[str, ...]] = ("rate",)

    SCHEMA: ClassVar[int] = 1

    command: Text
    started_utc: str
    points: tuple[Point, ...]
    model: Text | None = None
    """The checkpoint, a folder by its whole path; None in a record that does not say."""
    rate: ChosenRate | None = None
    """None while none was chosen."""

    def require_model(self, model: str, folder: Path) -> None:
        """Raise UsageError where this, the study in `folder`, is of another model: its points would
        take each other's place.
        """
        if self.model not in (None, model):
            raise UsageError(
                f"{folder} has a study of another model, {self.model}; give this one another "
                f"--output."
            )

    def rate_for(self, conditions: str) -> float | None:
        """The rate that was chosen for the same."""
        kept = self.rate
        return kept.queries_per_s if kept and kept.conditions == conditions else None

    def has_result(self, point: Point) -> bool:
        """Whether this point is known to be complete."""
        return any(each.place == point.place and each.status == "complete" for each in self.points)

    def with_point(self, point: Point) -> StudyRecord:
        """The same with this point in the place of its earlier state."""
        points = (point if each.place == point.place else each for each in self.points)
        return self.model_copy(update={"points": tuple(points)})

    def after(self, earlier: StudyRecord | None) -> StudyRecord:
        """The same behind the points of an earlier plan that were measured, or failed, and are not
        asked for now: a failure also not by its names alone, as with a recipe that was mended. What
        is known of those that are asked for again stays, until it is known otherwise.
        """
        if earlier is None:
            return self
        known = {point.place: point for point in earlier.points}
        asked = {place for point in self.points for place in (point.place, point.names)}
        kept = (
            point
            for point in earlier.points
            if point.status != "planned"
            and point.place not in asked
            and not (point.status == "failed" and point.names in asked)
        )
        again = (point.as_known(known.get(point.place)) for point in self.points)
        return self.model_copy(
            update={"points": (*kept, *again), "rate": self.rate or earlier.rate}
        )

    def left_behind(self, name: str) -> bool:
        """Whether a run of this study lies in the folder of this name that stands for none of its
        points any more: what was measured since has its place.
        """
        return is_folder_of_a_run(name) and all(point.folder != name for point in self.points)

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


def earlier_study(folder: Path) -> StudyRecord | None:
    """What an earlier command left in `folder`. Raises UsageError for a record that cannot be
    read.
    """
    try:
        return read_study(folder)
    except FileNotFoundError:
        return None
