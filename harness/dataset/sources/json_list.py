"""The records of a JSON list, read one at a time, and nothing of what is no sound list.

The official file holds every token id on a line of its own, some 250 MB; parsed at once it would
take gigabytes. A record's size and depth are bounded, and so is the memory that reading it takes.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import ijson

from build_engine.errors import DatasetError
from build_engine.files import Unreadable
from build_engine.validation import counted

_PIECE_BYTES = 1 << 15
_LONG_RECORD_BYTES = 1 << 20  # yajl begins a text or number anew with each piece
_MAX_RECORD_BYTES = 1 << 26  # a record that is longer is a broken file, not an article
# In one record, its texts included; the official ones have two. It bounds the depth, for which
# ijson takes memory that grows with the square (50 MB at this limit).
_MAX_BRACKETS = 4096
_SPACE = b" \t\r\n"
# An escape; `half` is one half of a surrogate pair without the other, of which yajl makes a "?".
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]|(?P<half>u[dD][89a-fA-F])|.)", re.DOTALL
)
_FIRST_HALF = re.compile(rb"\\u[dD][89abAB]")
_LONGEST_ESCAPE = 12  # bytes: a pair


def read_records(path: Path) -> Iterator[Any]:
    """Each record of the list in `path`; raises DatasetError for anything but a whole list."""
    number = 0
    with path.open("rb") as stream:
        text = _Text(stream)
        if text.first != b"[":
            begins = " (it begins with an object: with one on each line, name it .jsonl)"
            raise DatasetError(
                f"{path.name} must be a JSON list of records, as the official file is; it "
                f"is not valid JSON, or holds something else{begins * (text.first == b'{')}."
            )
        try:
            # what lies before a broken place in a piece comes before the error
            for record in ijson.items(text, "item", use_float=True, map_type=_Object):
                text.end_record()
                if isinstance(record, _Object) and record.twice is not None:
                    raise Unreadable(f"a record says `{record.twice}` twice")
                yield record
                number += 1
        except (ijson.JSONError, ValueError) as error:
            raise _explained(error, path.name, number) from None


class _Text:
    """The content after a byte order mark and white space, as a file that ijson reads.

    No piece ends inside an escape. Raises Unreadable for what ijson would take, and must not.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._bytes = self._brackets = 0  # since the last whole record
        self._rest = stream.read(_PIECE_BYTES).removeprefix(codecs.BOM_UTF8).lstrip(_SPACE)
        while not self._rest and (more := stream.read(_PIECE_BYTES)):
            self._rest = more.lstrip(_SPACE)
        self.first = self._rest[:1]
        self._has_half = False

    def end_record(self) -> None:
        """What is read from now on belongs to another record."""
        self._bytes = self._brackets = 0

    def read(self, size: int) -> bytes:
        """The next piece, whose length is ours to choose; of size 0 (a question) nothing."""
        if size == 0:
            return b""
        if self._has_half:
            raise Unreadable("half of a surrogate pair, which is no character")
        piece = self._next()
        self._bytes += len(piece)
        self._brackets += piece.count(b"[") + piece.count(b"{")
        if self._bytes > _MAX_RECORD_BYTES:
            raise Unreadable(f"a record has more than {_MAX_RECORD_BYTES / 2**20:g} MiB")
        if self._brackets > _MAX_BRACKETS:
            raise Unreadable(f"a record has more than {_MAX_BRACKETS:,} opening brackets")
        half = _half(piece)
        if half is None:
            return piece
        self._has_half = True
        return piece[:half] or self.read(size)

    def _next(self) -> bytes:
        long = self._bytes if self._bytes > _LONG_RECORD_BYTES else 0
        more = self._stream.read(max(_PIECE_BYTES, len(self._rest), long))
        piece = self._rest + more
        ends_here = not more or len(piece) > _MAX_RECORD_BYTES
        cut = len(piece) if ends_here else _cut(piece)
        self._rest = piece[cut:]
        return piece[:cut] if cut or ends_here else self._next()


class _Object(dict[str, Any]):
    """A JSON object that remembers a key that it says twice; yajl's C code takes no exception."""

    twice: str | None = None

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            self.twice = key
        super().__setitem__(key, value)


def _cut(piece: bytes) -> int:
    """Where a piece can end so that no escape, and no pair of them, goes on after it."""
    at = piece.find(b"\\", max(0, len(piece) - _LONGEST_ESCAPE + 1))
    if at < 0:
        return len(piece)
    if at >= 6 and _FIRST_HALF.match(piece, at - 6):
        at -= 6
    return len(piece[:at].rstrip(b"\\"))  # of several backslashes the first begins an escape


def _half(piece: bytes) -> int | None:
    """Where half of a surrogate pair stands, None where there is none."""
    if b"\\ud" not in piece and b"\\uD" not in piece:
        return None
    escapes = _ESCAPE.finditer(piece)
    return next((escape.start() for escape in escapes if escape["half"]), None)


def _explained(error: Exception, name: str, number: int) -> DatasetError:
    """What ijson means; its backends say the same in different words."""
    reason = str(error).partition("\n")[0]
    not_text = isinstance(error, UnicodeDecodeError) or "codec can't decode" in reason
    if not_text or "in UTF8 string" in reason:
        return DatasetError(f"{name} is not UTF-8 text; get it again.")
    if "trailing garbage" in reason or "Additional data" in reason:
        return DatasetError(f"{name} goes on after the end of its list; get the file again.")
    return DatasetError(
        f"{name} is not valid JSON after {counted(number, 'record')} ({reason}); it was cut "
        "off or damaged, so get it again."
    )
