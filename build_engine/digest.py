"""Content digests of big files, remembered so that asking again takes milliseconds."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import ClassVar

from pydantic import NonNegativeInt

from build_engine.errors import EnginebenchError
from build_engine.files import write_json
from build_engine.paths import cache_root
from build_engine.records import Record, read_record
from build_engine.validation import Sha256

CHUNK_BYTES = 1 << 22


class _Remembered(Record):
    """The SHA-256 of a file as it was then; the record's own name says which file."""

    SCHEMA: ClassVar[int] = 2

    size_bytes: NonNegativeInt
    modified_ns: int
    changed_ns: int
    inode: NonNegativeInt
    device: NonNegativeInt
    sha256: Sha256


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hex.

    A file that changes keeps its old digest only if it is the same inode, of the same size, and its
    modification and change times in nanoseconds both stay: a copy with an old modification time,
    as `rsync -t` makes one, is hashed, because nobody sets the change time.
    """
    path = path.resolve()
    status = path.stat()  # before its content: a change in between is noticed the next time
    known = _recall(path, status)
    if known is None:
        known = hash_file(path)
        _remember(path, status, known)
    return known


def remember_sha256(path: Path, sha256: str) -> None:
    """Remember a digest that was found out otherwise, of the file as it is now."""
    path = path.resolve()
    _remember(path, path.stat(), sha256)


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content in hex, read now."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _recall(path: Path, status: os.stat_result) -> str | None:
    try:
        known = read_record(_place(path), _Remembered, EnginebenchError, "ask again")
    except (FileNotFoundError, EnginebenchError):
        return None
    return known.sha256 if known == _entry(status, known.sha256) else None


def _remember(path: Path, status: os.stat_result, sha256: str) -> None:
    entry = _entry(status, sha256)
    place = _place(path)
    # A cache that cannot be written costs time, never correctness.
    with contextlib.suppress(OSError):
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, entry.to_json())


def _entry(status: os.stat_result, sha256: str) -> _Remembered:
    return _Remembered(
        schema_version=_Remembered.SCHEMA,
        size_bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
        inode=status.st_ino,
        device=status.st_dev,
        sha256=sha256,
    )


def _place(path: Path) -> Path:
    name = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return cache_root() / "digests" / f"{name}.json"
