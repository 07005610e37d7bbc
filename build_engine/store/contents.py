"""The files that a manifest vouches for: sealed when they are written, compared later."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import NonNegativeInt

from build_engine.digest import hash_file
from build_engine.files import sync
from build_engine.validation import Frozen, Sha256


class FileEntry(Frozen):
    """A file that was written: its size and its SHA-256 in hex."""

    bytes: NonNegativeInt
    sha256: Sha256


def seal_files(folder: Path) -> dict[str, FileEntry]:
    """An entry for every file below `folder`, by its relative path, each safely on the disk.

    A builder that wrote nothing, or a link that could lose its target, is our own mistake:
    AssertionError.
    """
    paths = files_below(folder)
    assert paths, "the builder wrote no file"
    entries = {}
    for path in paths:
        assert not path.is_symlink(), f"the builder left a link: {path}"
        sync(path)
        name = path.relative_to(folder).as_posix()
        entries[name] = FileEntry(bytes=path.stat().st_size, sha256=hash_file(path))
    return entries


def file_problems(
    folder: Path, files: Mapping[str, FileEntry], sha256: Callable[[Path], str]
) -> dict[str, str]:
    """`{name: sentence}` of the missing, truncated and altered files, by the digests that `sha256`
    gives.
    """
    problems = {}
    for name, entry in files.items():
        path = folder / name
        if path.is_symlink():
            problems[name] = f"{name} is a link, not the file that was built."
        elif not path.is_file():
            problems[name] = f"{name} is missing."
        elif (size := path.stat().st_size) != entry.bytes:
            problems[name] = f"{name} has {size} bytes instead of {entry.bytes}."
        else:
            try:
                if sha256(path) != entry.sha256:
                    problems[name] = f"{name} was altered: its checksum differs."
            except OSError as error:
                problems[name] = f"{name} cannot be read: {error.strerror}."
    return problems


def content_problems(folder: Path, files: Mapping[str, FileEntry], manifest: str) -> list[str]:
    """One sentence per missing, truncated, altered or extra file other than the `manifest`; reads
    every byte.
    """
    problems = file_problems(folder, files, hash_file)
    for path in files_below(folder):
        name = path.relative_to(folder).as_posix()
        if name not in files and name != manifest:
            problems[name] = f"{name} is extra: the build did not write it."
    return [problems[name] for name in sorted(problems)]


def files_below(folder: Path) -> list[Path]:
    """Everything below `folder` that is no folder, sorted; a link is listed, never followed."""
    return sorted(p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
