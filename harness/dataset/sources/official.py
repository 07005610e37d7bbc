"""MLCommons' files for Llama-3.1-8B: a JSON list of `instruction`, `input`, `tok_input`, `output`.

`input` is the article, `tok_input` the ids of the whole prompt by the reference tokenizer, `output`
the reference summary (mlcommons/inference, language/llama3.1-8b/dataset.py).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path

from build_engine.errors import DatasetError
from harness.dataset.sources.json_list import read_records
from harness.dataset.sources.sample import Sample, distinct, optional_id, text


def samples(path: Path) -> Iterator[Sample]:
    """Every record in the file's order, which is LoadGen's sample index.

    Raises DatasetError that names the first record that is broken, counted from 0.
    """
    return distinct(_records(path))


def _records(path: Path) -> Iterator[tuple[str, Sample]]:
    for number, record in enumerate(read_records(path)):
        where = f"{path.name} record {number}"
        if isinstance(record, dict) and "article" in record and "input" not in record:
            raise DatasetError(
                f"{where} has an `article` and no `input`, so these are articles of your own; "
                f"write one object on each line, in a .jsonl: jq -c '.[]' {path.name} > NEW.jsonl"
            )
        article, reference = (text(record, key, where) for key in ("input", "output"))
        yield where, Sample(article, reference, _ids(record, where), optional_id(record, where))


def _ids(record: Mapping[str, object], where: str) -> array[int] | None:
    """The ids of the prompt; None where there are none, which a benchmark's set must not have."""
    ids = record.get("tok_input")
    if ids is None:
        return None
    # `type` and not isinstance: true and false are no token ids
    if not isinstance(ids, list) or not ids or any(type(i) is not int or i < 0 for i in ids):
        raise DatasetError(f"{where}: `tok_input` is not a list of token ids; get the file again.")
    try:
        return array("i", ids)
    except OverflowError:
        raise DatasetError(
            f"{where}: `tok_input` has an id above 2^31; get the file again."
        ) from None
