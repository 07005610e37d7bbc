"""A record is read when it is what its version says; else one sentence names file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest

from build_engine.errors import UsageError
from build_engine.files import write_json
from build_engine.records import Record, read_record
from build_engine.validation import Frozen


class Inner(Frozen):
    rate: float


class Note(Record):
    SCHEMA: ClassVar[int] = 3

    title: str
    inner: Inner | None = None


def read(path: Path, content: Any) -> Note:
    path.write_text(json.dumps(content))
    return read_record(path, Note, UsageError, "write it again")


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    note = Note(schema_version=3, title="x", inner=Inner(rate=1.5))
    write_json(tmp_path / "note.json", note.to_json())
    assert read_record(tmp_path / "note.json", Note, UsageError, "no") == note


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"schema_version": 3}, "`title` is missing. Write it again."),
        ({"schema_version": 3, "title": 7}, "`title` must be a valid string, not `7`. Write"),
        ({"schema_version": 3, "title": "x", "titel": "y"}, "`titel` is not a key. Did you mean"),
        ({"schema_version": 3, "title": "x", "inner": {"rate": "1"}}, "`inner.rate` must be"),
        ({"schema_version": 4, "title": "x"}, "by a newer enginebench .*; update enginebench."),
        ({"schema_version": 1, "title": "x"}, "by an older enginebench .*; write it again."),
        ({"schema_version": True, "title": "x"}, "no `schema_version`"),
        ({"title": "x"}, "no `schema_version`"),
        ([], "no `schema_version`"),
    ],
)
def test_a_wrong_record_is_one_sentence_with_file_and_field(
    tmp_path: Path, content: Any, told: str
) -> None:
    with pytest.raises(UsageError, match=rf"^{tmp_path}/n\.json.*{told}"):
        read(tmp_path / "n.json", content)
