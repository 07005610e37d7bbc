"""Articles of one's own: a file with a JSON object of `article` and `highlights` on each line.

An `id` may be there too; no two records then share one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from build_engine.errors import DatasetError
from build_engine.files import MAX_BYTES, Unreadable, parse_json
from harness.dataset.sources.foreign import require_json_lines
from harness.dataset.sources.sample import Sample, distinct, optional_id, text


def samples(path: Path) -> Iterator[Sample]:
    """Every record; raises DatasetError that names the line of the first one that is broken, or
    what the file is instead.
    """
    require_json_lines(path)
    return distinct(_records(path))


def lines(samples: Iterable[Sample]) -> Iterator[bytes]:
    """The line of each sample, as this module reads it."""
    for sample in samples:
        row = {"article": sample.article, "highlights": sample.reference}
        if sample.id is not None:
            row = {"id": sample.id, **row}
        yield json.dumps(row, ensure_ascii=False).encode() + b"\n"


def _records(path: Path) -> Iterator[tuple[str, Sample]]:
    with path.open("rb") as stream:
        read = iter(lambda: stream.readline(MAX_BYTES + 1), b"")
        for number, line in enumerate(read, 1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            if len(line) > MAX_BYTES:
                raise DatasetError(f"{where} has more than {MAX_BYTES >> 20} MiB; fix the file.")
            try:
                record = parse_json(line)
            except Unreadable as problem:
                raise DatasetError(f"{where} {problem}; fix or remove it.") from None
            article, highlights = (text(record, key, where) for key in ("article", "highlights"))
            yield where, Sample(article, highlights, id=optional_id(record, where))
