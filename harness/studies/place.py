"""The folder of a study, which one process writes to at a time."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from build_engine.errors import UsageError
from build_engine.files import cannot_write, check_writable, sync
from build_engine.paths import require_text
from build_engine.store.spec import SHORT_KEY_LEN, folder_name
from harness.rules.scenario import Scenario
from harness.runs.folder import RECORD
from harness.runs.place import require_own_place

REPORT = "report.html"
_LOCK = ".lock"
_FORGETTING = ".forgetting"
_REMOVING = ".removing"
_OF_A_RUN = re.compile(
    f"-({'|'.join(each.lower() for each in Scenario)})(-[0-9]+)?-[0-9a-f]{{{SHORT_KEY_LEN}}}$"
)


def default_folder(kind: str, model: str, *more: str) -> Path:
    """Where a study goes when nobody says: the same place for the same, so that it goes on where it
    was. Another model of that name is for the study to refuse.
    """
    return Path("results") / "-".join((kind, folder_name(Path(model).name), *more))


def check_study_folder(folder: Path, dataset: str | None = None) -> None:
    """Raise UsageError or OutputError for a place where no study can lie."""
    require_text(folder.absolute())
    require_own_place(folder, dataset)
    check_writable(folder)
    if (folder / RECORD).is_file():
        raise UsageError(f"{folder} is the folder of one run; give a study another --output.")


def require_folder(place: Path) -> None:
    """Raise UsageError for what no study leaves where a run of it belongs."""
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        kind = "a link" if place.is_symlink() else "no folder"
        raise UsageError(
            f"{place} is {kind}, and a run of this study belongs there; move it away, or give "
            "another --output."
        )


def clear(place: Path) -> None:
    """Remove what an earlier command left where a run of a study belongs: hidden in one step, then
    deleted, as what is half deleted is neither a run nor nothing. Raises UsageError for what is
    none of ours, OutputError for what cannot be removed.
    """
    require_folder(place)
    hidden = place.with_name(_REMOVING)  # one name suffices, as one process holds the study
    try:
        if hidden.exists():
            shutil.rmtree(hidden)
        if place.exists():
            place.rename(hidden)
            shutil.rmtree(hidden)
    except OSError as error:
        raise cannot_write(place, error) from None


def run_folder_name(name: str, scenario: str, again: int, digest: str) -> str:
    """That of a run of a study, for the `again`-th time."""
    number = f"-{again}" if again > 1 else ""
    return f"{name}-{scenario.lower()}{number}-{digest}"


def is_folder_of_a_run(name: str) -> bool:
    """Whether a study calls folders of its runs so, and people hardly any of theirs."""
    return _OF_A_RUN.search(name) is not None


def is_forgetting(folder: Path) -> bool:
    """Whether a command was stopped while it removed what a study measured in `folder`: the next
    one goes on with that, and takes nothing up.
    """
    return (folder / _FORGETTING).exists()


@contextlib.contextmanager
def forgetting(folder: Path) -> Iterator[None]:
    """Remove in the body what a study measured in `folder`. From the first step nothing of it
    counts any more, even where the last is never reached. Raises OutputError.
    """
    begun = folder / _FORGETTING
    try:
        begun.touch()
        sync(folder)  # before anything is gone
        yield
        begun.unlink()
    except OSError as error:
        raise cannot_write(folder, error) from None


def forget_runs(folder: Path, is_ours: Callable[[str], bool] = is_folder_of_a_run) -> None:
    """Remove every run that was made as one of the study in `folder`, by the names of their
    folders, whether its record still names it or not; a folder without a run in it stays. Raises
    OutputError.
    """
    try:
        places = [place for place in folder.iterdir() if is_ours(place.name)]
    except OSError as error:
        raise cannot_write(folder, error) from None
    for place in places:
        if (place / RECORD).is_file() and not place.is_symlink():
            clear(place)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The study's folder, made where it is missing, and nobody else's until the end: of a process
    that is killed, too.

    Raises OutputError, and UsageError while another process works in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / _LOCK)
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(
            f"Another command is at work in {folder}; wait for it, or give another --output."
        ) from None
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        yield
    finally:
        lock.release()
