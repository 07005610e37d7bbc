"""The runs and studies below any folders that a user names, and what was passed over there, and
why.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from build_engine.errors import EnginebenchError, UsageError
from harness.report.result import Result
from harness.runs.folder import RECORD
from harness.runs.run import Run
from harness.studies.record import STUDY, StudyRecord, read_study


@dataclass(frozen=True, slots=True)
class PassedOver:
    """A run folder that is not looked at: `reason` is a sentence that names it. `named` is whether
    the user named this very folder; `recipe` is None where the record does not say.
    """

    folder: Path
    reason: str
    named: bool
    recipe: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Results in the order in which their folders were named, and within a folder by time."""

    results: tuple[Result, ...]
    passed_over: tuple[PassedOver, ...]

    def require_named(self) -> None:
        """Raise UsageError when a run that the user named by its own folder was passed over."""
        for passed in self.passed_over:
            if passed.named:
                raise UsageError(passed.reason)


def find_runs(paths: Sequence[Path]) -> Found:
    """Every complete run in `paths`, each once; a path is a run folder, a study's, or any above. Of
    what a study made there are those runs that its record still names, unless one is named itself.

    Raises UsageError for a path without a run folder in it, or without one that counts.
    """
    results: list[Result] = []
    passed_over: list[PassedOver] = []
    seen: set[Path] = set()
    named = {path.resolve() for path in paths}
    for path in paths:
        folders, unreadable = run_folders(path)
        passed_over += unreadable
        found = []
        for folder in _that_count(path, folders):
            if (real := folder.resolve()) in seen:
                continue
            seen.add(real)
            try:
                found.append(Result.read(folder, path))
            except EnginebenchError as error:
                passed_over.append(
                    PassedOver(folder, str(error), named=real in named, recipe=_recipe(folder))
                )
        results += sorted(found, key=lambda result: result.started_utc)
    return Found(tuple(results), tuple(passed_over))


def _that_count(path: Path, folders: Sequence[Path]) -> list[Path]:
    """The run folders in `path` without those that studies left behind. Raises UsageError where
    nothing else is there.
    """
    parents = {folder.parent for folder in folders if folder != path}
    studies = {parent: study for parent in parents if (study := _study(parent)) is not None}
    left = {
        folder
        for folder in folders
        if folder.parent in studies and studies[folder.parent].left_behind(folder.name)
    }
    if folders and left == set(folders):
        raise UsageError(
            f"{path} has no run that counts: no {STUDY} there names one. Go on with: "
            f"{next(iter(studies.values())).command}"
        )
    return [folder for folder in folders if folder not in left]


def _study(folder: Path) -> StudyRecord | None:
    """The record of the study in `folder`; None where there is none, or it cannot be read."""
    try:
        return read_study(folder)
    except (EnginebenchError, FileNotFoundError):
        return None


def _recipe(folder: Path) -> str | None:
    """That of a run without a result, where its record can be read."""
    try:
        record = Run.read(folder).record
    except EnginebenchError:
        return None
    return record.recipe


def study_folders(paths: Sequence[Path]) -> tuple[Path, ...]:
    """The folders at or below `paths` that have the record of a study."""
    return tuple(
        Path(folder)
        for path in paths
        for folder, files in _looked_into(path, lambda _: None)
        if STUDY in files
    )


def folders_with(name: str, found: Found, paths: Sequence[Path]) -> list[Path]:
    """The folders that are named, or hold a run, in which a file of this name lies; each once."""
    runs = [*(each.folder for each in found.results), *(p.folder for p in found.passed_over)]
    folders = [*paths, *(folder.parent for folder in runs)]
    there = (folder for folder in folders if (folder / name).is_file())
    return list({folder.resolve(): folder for folder in there}.values())


def is_empty(path: Path) -> bool:
    """Whether there is no such folder, or no run in it; one that cannot be read may have some."""
    errors: list[OSError] = []
    if any(RECORD in files for _, files in _looked_into(path, errors.append)):
        return False
    return all(isinstance(error, FileNotFoundError) for error in errors)


def run_folders(path: Path) -> tuple[list[Path], list[PassedOver]]:
    """The run folders at or below `path`, by name, whatever is in their records, and the folders
    that cannot be read. Hidden folders and links are not looked into.

    Raises UsageError where there is none.
    """
    if not path.is_dir():
        raise UsageError(f"{path} is no folder; give the folder of a run, or one that has runs.")
    unreadable: list[PassedOver] = []

    def pass_over(error: OSError) -> None:
        folder = Path(error.filename)
        reason = f"{folder} cannot be read ({error.strerror})."
        unreadable.append(PassedOver(folder, reason, named=folder == path))

    found = sorted(
        Path(folder) for folder, files in _looked_into(path, pass_over) if RECORD in files
    )
    if not found and not unreadable:
        raise UsageError(f"{path} has no run in it: there is no {RECORD} at or below it.")
    return found, unreadable


def _looked_into(
    path: Path, pass_over: Callable[[OSError], None]
) -> Iterator[tuple[str, list[str]]]:
    """Every folder in which runs may lie, or that is one, with the names of its files."""
    for folder, inside, files in os.walk(path, onerror=pass_over):
        yield folder, files
        if RECORD in files:
            inside.clear()  # there is no run in a run
        inside[:] = [name for name in inside if not name.startswith(".")]
