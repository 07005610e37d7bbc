"""Content digests of big files, remembered so that asking again takes milliseconds."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path

from build_engine.paths import cache_root

CHUNK_BYTES = 1 << 22


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content in hex.

    A file that changes keeps its old digest only if its size and its modification time in
    nanoseconds both stay.
    """
    path = path.resolve()
    status = path.stat()
    identity = {
        "path": str(path),
        "size_bytes": status.st_size,
        "modified_ns": status.st_mtime_ns,
    }
    entry_name = hashlib.sha256(str(path).encode()).hexdigest()[:32]
    entry = cache_root() / "digests" / f"{entry_name}.json"
    remembered = _read_entry(entry)
    if {key: remembered.get(key) for key in identity} == identity:
        return str(remembered["sha256"])
    digest = hash_file(path)
    _write_entry(entry, {**identity, "sha256": digest})
    return digest


def hash_file(path: Path) -> str:
    """SHA-256 of a file's content in hex, read now."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _read_entry(entry: Path) -> dict[str, object]:
    try:
        content = json.loads(entry.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "sha256" in content else {}


def _write_entry(entry: Path, content: dict[str, object]) -> None:
    # A cache that cannot be written costs time, never correctness.
    with contextlib.suppress(OSError):
        entry.parent.mkdir(parents=True, exist_ok=True)
        temporary = entry.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(content))
        temporary.replace(entry)
