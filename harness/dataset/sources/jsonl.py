"""Articles of one's own: a file with a JSON object of `article` and `highlights` on each line.

An `id` may be there too; no two records then share one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from build_engine.errors import DatasetError
from harness.dataset.sources.sample import Sample, distinct, optional_id, text


def samples(path: Path) -> Iterator[Sample]:
    """Every record; raises DatasetError that names the line of the first one that is broken."""
    return distinct(_records(path))


def write(path: Path, samples: Iterable[Sample]) -> int:
    """Write samples to a new file; how many there were."""
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for sample in samples:
            row = {"article": sample.article, "highlights": sample.reference}
            if sample.id is not None:
                row = {"id": sample.id, **row}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            count += 1
    return count


def _records(path: Path) -> Iterator[tuple[str, Sample]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise DatasetError(
                    f"{where} is not valid JSON ({error}); mend or remove it."
                ) from None
            article, highlights = (text(record, key, where) for key in ("article", "highlights"))
            yield where, Sample(article, highlights, id=optional_id(record, where))
