"""`partial.jsonl`: what an unfinished test measured, a JSON line a completed sample.

The supervisor appends what it is told while the test runs, so that a process that is killed loses
no more than its last half second; one that ends by itself puts the whole in its place, with the ids
of kept answers.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING

from build_engine.files import replaced

if TYPE_CHECKING:
    from harness.loadgen.messages import AnswerRecord
    from runtime.executor import TokenIds


class PartialLog:
    """The file as the supervisor fills it. It is opened once, at the start: what is appended after
    the test's own process has put the whole in its place goes to the old file, so no row is there
    twice. A full disk must not end a test that could still complete.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None
        with contextlib.suppress(OSError):
            self._file = path.open("a", encoding="utf-8", buffering=1)

    def append(self, records: Iterable[AnswerRecord]) -> None:
        """Add the rows of these answers."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.write("".join(map(_row, records)))

    def close(self, *, keep: bool) -> None:
        """Remove the file unless it is to be kept and has a row. Idempotent."""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        with contextlib.suppress(OSError):
            if not keep or not self._path.stat().st_size:
                self._path.unlink()


def save_rows(path: Path, records: Iterable[AnswerRecord], answers: Mapping[int, TokenIds]) -> None:
    """Write the rows of all answers, in place of what was appended. Raises OSError."""
    with replaced(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(_row(record, answers.get(record[0])) for record in records)


def _row(record: AnswerRecord, ids: TokenIds | None = None) -> str:
    index, ttft_s, latency_s, num_tokens = record
    row = {
        "sample": index,
        "ttft_s": round(ttft_s, 6),
        "latency_s": round(latency_s, 6),
        "num_tokens": num_tokens,
    }
    if ids is not None:
        row["token_ids"] = ids.tolist()
    return json.dumps(row) + "\n"
