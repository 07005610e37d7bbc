"""What a record must have, and what is said of one that has something else."""

from __future__ import annotations

import pytest

from build_engine.errors import DatasetError
from harness.dataset.sources.sample import text


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"text": "a", "summary": "b"}, " (its keys are `text`, `summary`)"),
        ({f"{i}": "a" for i in range(9)}, " (its keys are `0`, `1`, `2`, `3`, `4`, `5`, ...)"),
        ({"article": 3, "text": "a"}, ""),
        ({}, ""),
        ([], ""),
    ],
)
def test_a_record_without_the_key_is_told_what_it_has(record: object, told: str) -> None:
    with pytest.raises(DatasetError) as caught:
        text(record, "article", "line 2")
    assert str(caught.value) == f"line 2 has no text under `article`{told}; fix or remove it."
