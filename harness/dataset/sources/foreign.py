"""Files that are no JSON lines, told by how they begin: what such a file is, and what to do."""

from __future__ import annotations

from pathlib import Path

from build_engine.errors import DatasetError
from build_engine.files import Unreadable, parse_json

_HEAD_BYTES = 1 << 16
_UNPACK = "unpack it, and give the file that was in it"
_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"PK\x03\x04", "zip"),
)
_OTHERS = (
    (b"PAR1", "a Parquet file; write its rows as JSON lines of article and highlights"),
    (b"ARROW1", "an Arrow file; write its rows as JSON lines of article and highlights"),
    (b"SQLite format 3", "a database; write its rows as JSON lines of article and highlights"),
)
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def require_json_lines(path: Path) -> None:
    """Return for a file that begins as JSON lines do, or in a way that nothing is known of. Raises
    DatasetError for one that is known to be something else.
    """
    with path.open("rb") as stream:
        head = stream.read(_HEAD_BYTES)
    if told := _kind(head, path.name):
        raise DatasetError(f"{path.name} is {told}.")


def _kind(head: bytes, name: str) -> str | None:
    for mark, tool in _PACKED:
        if head.startswith(mark):
            return f"packed ({tool}); {_UNPACK}"
    for mark, told in _OTHERS:
        if head.startswith(mark):
            return told
    if head.startswith(_UTF_16_MARKS) or b"\0" in head[:4]:
        return f"UTF-16 text; write it as UTF-8: iconv -f UTF-16 -t UTF-8 {name} > NEW.jsonl"
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"["):
        return f"a JSON list; write one object on each line: jq -c '.[]' {name} > NEW.jsonl"
    first, more, _ = text.partition(b"\n")
    if text.startswith(b"{"):
        if more and _is_cut(first):
            return (
                "JSON over several lines; write each object on one line: "
                f"jq -c . {name} > NEW.jsonl"
            )
        return None
    if more and (b"," in first or b"\t" in first):
        return (
            "a table of commas or tabs; write its rows as JSON lines, an object of article and "
            "highlights on each"
        )
    return None


def _is_cut(line: bytes) -> bool:
    """Whether a line is the beginning of an object that goes on in the next."""
    stripped = line.rstrip()
    if not stripped.endswith((b"{", b",", b"[", b":")):
        return False
    try:
        parse_json(stripped)
    except Unreadable:
        return True
    return False
