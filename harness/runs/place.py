"""Where a run or a tree may be written: never into what this project keeps, or what it reads."""

from __future__ import annotations

from pathlib import Path

from build_engine.checkpoint.files import lacking
from build_engine.errors import CheckpointError, UsageError
from build_engine.paths import KEPT, cache_root, user_path
from build_engine.store.manifest import MANIFEST_NAME
from harness.runs.folder import RECORD


def require_own_place(output: Path, dataset: str | None = None) -> None:
    """Raise UsageError for an output in our cache, an engine, a checkpoint, another run, or the
    folder of the `dataset` that the user names: it would count as a part of that.
    """
    place = output.absolute().resolve()
    root = cache_root().resolve()
    for name in KEPT:
        if place.is_relative_to(root / name):
            raise _inside(output, "enginebench's own cache", root / name)
    folder = user_path(dataset).resolve() if dataset else None
    if folder is not None and folder.is_dir() and place.is_relative_to(folder):
        raise _inside(output, "the dataset", folder)
    for above in (place, *place.parents):
        if (above / RECORD).is_file():  # with the manifest of its engine beside it
            if above != place:
                raise _inside(output, "another run", above)
        elif (above / MANIFEST_NAME).is_file():
            raise _inside(output, "an engine", above)
        if _is_checkpoint(above):
            raise _inside(output, "a checkpoint", above)


def require_page_place(page: Path, option: str) -> None:
    """Raise UsageError for a `page` of results that is a folder, or would take the place of what
    the results themselves consist of.
    """
    if page.is_dir() or not page.name:
        raise UsageError(f"{option} {page} is a folder; name a file in it.")
    if page.suffix == ".json":
        raise UsageError(f"{option} {page} has the name of a record; choose one without .json.")
    for above in page.absolute().resolve().parents:
        if any((above / name).is_file() for name in (RECORD, MANIFEST_NAME)):
            raise UsageError(
                f"{option} {page} lies in a run or an engine, {above}, which stays as it was "
                "written; choose another place."
            )


def _is_checkpoint(folder: Path) -> bool:
    try:
        return not lacking(folder)
    except CheckpointError:  # one that is damaged
        return True


def _inside(output: Path, what: str, folder: Path) -> UsageError:
    return UsageError(f"--output {output} lies in {what}, {folder}; choose another place.")
