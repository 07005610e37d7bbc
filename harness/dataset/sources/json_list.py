"""The records of a JSON list, read one at a time.

The official file holds every token id on a line of its own, some 250 MB; parsed at once it would
take gigabytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from build_engine.errors import DatasetError

_CHUNK_CHARS = 1 << 20
_MAX_RECORD_CHARS = 1 << 26  # a record that is longer is a broken file, not an article
_SPACE = " \t\r\n"


def read_records(path: Path) -> Iterator[Any]:
    """Each record of the list in `path`; raises DatasetError for anything but a whole list."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            yield from _Reader(stream, path.name).records()
    except UnicodeDecodeError:
        raise DatasetError(f"{path.name} is not UTF-8 text; get it again.") from None


class _Reader:
    """A window over the text, moved on record by record."""

    def __init__(self, stream: IO[str], name: str) -> None:
        self._stream = stream
        self._name = name
        self._window = ""
        self._at = 0

    def records(self) -> Iterator[Any]:
        """See `read_records`."""
        if self._skip_space() != "[":
            raise DatasetError(
                f"{self._name} must be a JSON list of records, as the official file is; it "
                "is not valid JSON, or holds something else."
            )
        self._at += 1
        number = 0
        if self._skip_space() == "]":
            self._at += 1
            return self._end()
        while True:
            yield self._record(number)
            number += 1
            mark = self._skip_space()
            self._at += 1
            if mark == "]":
                return self._end()
            if mark != ",":
                raise self._broken(number, "the list does not go on and does not end")

    def _record(self, number: int) -> Any:
        self._skip_space()
        size = _CHUNK_CHARS
        while True:
            try:
                record, self._at = json.JSONDecoder().raw_decode(self._window, self._at)
                return record
            except RecursionError as error:
                raise self._broken(number, str(error)) from None
            except ValueError as error:
                self._window = self._window[self._at :]
                self._at = 0
                more = "" if len(self._window) > _MAX_RECORD_CHARS else self._stream.read(size)
                if not more:
                    raise self._broken(number, str(error)) from None
                self._window += more
                size *= 2  # so that a broken file is read a few times over, not a thousand times

    def _skip_space(self) -> str:
        """The next character that is not white space, "" at the end of the file."""
        while True:
            while self._at < len(self._window) and self._window[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._window):
                return self._window[self._at]
            self._window, self._at = self._stream.read(_CHUNK_CHARS), 0
            if not self._window:
                return ""

    def _end(self) -> None:
        if self._skip_space():
            raise DatasetError(
                f"{self._name} goes on after the end of its list; get the file again."
            )

    def _broken(self, number: int, reason: str) -> DatasetError:
        return DatasetError(
            f"{self._name} is not valid JSON after {number:,} records ({reason}); it was cut off "
            "or damaged, so get it again."
        )
