"""What was asked for and is no result: failed points of studies with their causes, points that are
still to be run, and runs that were passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.errors import EnginebenchError
from harness.studies.record import STUDY, Point, StudyRecord, read_study

if TYPE_CHECKING:
    from harness.report.find import Found


def failures_of(found: Found, studies: Iterable[Path]) -> tuple[str, ...]:
    """A sentence for each, the points of studies first. `studies` are folders that may be one."""
    return tuple(_failures(found, studies))


def _failures(found: Found, studies: Iterable[Path]) -> Iterator[str]:
    told: set[Path] = set()
    for study in {folder.resolve(): folder for folder in studies}.values():
        try:
            record = read_study(study)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except EnginebenchError as error:
            yield f"{study / STUDY} was passed over: {error}"
            continue
        yield from _of_points(record)
        told.update((study / point.folder).resolve() for point in _failed(record) if point.folder)
    yield from (each.reason for each in found.passed_over if each.folder.resolve() not in told)


def _of_points(record: StudyRecord) -> Iterator[str]:
    for point in _failed(record):
        yield f"{_named(point)} failed: {point.cause or 'no cause was recorded'}"
    planned = [point for point in record.points if point.status == "planned"]
    if planned:
        names = ", ".join(dict.fromkeys(map(_named, planned)))
        yield f"Still to be run: {names}. The command goes on where it stopped: {record.command}"


def _failed(record: StudyRecord) -> Iterable[Point]:
    return (point for point in record.points if point.status == "failed")


def _named(point: Point) -> str:
    again = f", repeat {point.repeat}" if point.repeat > 1 else ""
    return f"{point.engine}, {point.scenario}{again}"
