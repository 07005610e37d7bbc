"""`partial.jsonl`: what an unfinished test measured, a JSON line a completed sample.

The supervisor appends what it is told while the test runs, so that a process that is killed loses
no more than its last half second; one that ends by itself writes the whole, with the ids of kept
answers.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.files import replaced

if TYPE_CHECKING:
    from harness.loadgen.messages import AnswerRecord
    from runtime.executor import TokenIds


def append_rows(path: Path, records: Iterable[AnswerRecord]) -> None:
    """Add the rows of these answers; a full disk must not end a test that could still complete."""
    rows = "".join(map(_row, records))
    if rows:
        with contextlib.suppress(OSError), path.open("a", encoding="utf-8") as file:
            file.write(rows)


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
