"""`dataset.json` is read as it was written, or refused in a sentence that names file and field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from build_engine.errors import DatasetError
from build_engine.files import write_json
from harness.dataset.prepared import Dataset
from harness.dataset.record import RECORD_NAME, Difference, Origin
from tests.harness.dataset.records import make_record
from tests.harness.rehearsal import make_dataset


def _read(folder: Path, content: Any) -> Dataset:
    write_json(folder / RECORD_NAME, content)
    return Dataset.load(folder)


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    origin = Origin(hub="a/b", revision="0" * 40, config="3.0.0", split="test", split_samples=3)
    record = make_record(
        3,
        benchmark="llama3.1-8b",
        notes=("look at it",),
        origin=origin,
        first_differences=(Difference(sample=1, token=2),),
        files={"references.json": "a" * 64},
    )
    assert _read(tmp_path, record.to_json()).record == record


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"digest": None}, "`digest` must be a valid string"),
        ({"digest": "abc"}, "`digest` must match pattern"),
        ({"num_samples": "16"}, "`num_samples` must be a valid integer, not `16`"),
        ({"purpose": "evaluate"}, "`purpose` is not one of evaluation, calibration: `evaluate`"),
        ({"prompt_tokens": {"min": 1}}, "`prompt_tokens.median` is missing"),
        ({"nots": []}, "`nots` is not a key. Did you mean `notes`"),
        ({"origin": {"config": "1", "split": "s", "split_samples": 1}}, "`origin`: `hub` or `fold"),
        ({"schema_version": 99}, "written by a newer enginebench"),
        ({"schema_version": 3}, "written by an older enginebench"),
        ({"schema_version": None}, "has no `schema_version`"),
    ],
)
def test_a_field_that_is_wrong_is_named(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    content = make_record().to_json() | change
    with pytest.raises(DatasetError) as caught:
        _read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / RECORD_NAME}")
    assert told in str(caught.value)


def test_a_field_that_is_missing_is_named(tmp_path: Path) -> None:
    content = make_record().to_json()
    del content["articles_digest"]
    with pytest.raises(DatasetError, match=r"dataset\.json: `articles_digest` is missing"):
        _read(tmp_path, content)
    with pytest.raises(DatasetError, match=r"no prepared dataset in .*`enginebench dataset`"):
        Dataset.load(tmp_path / "nowhere")


def test_a_dataset_knows_whether_it_is_as_it_was_written(tmp_path: Path) -> None:
    made = make_dataset(tmp_path / "dataset")
    assert Dataset.load(made.folder) == made
    assert made.is_whole
    references = made.folder / "references.json"
    references.write_text(json.dumps(["another"]))
    assert not made.is_whole
    references.unlink()
    assert not made.is_whole


def test_an_origin_has_one_place() -> None:
    for places in ({}, {"hub": "a/b", "folder": "/data"}):
        with pytest.raises(ValidationError, match="`hub` or `folder` is given, and not both"):
            Origin(**places, config="3.0.0", split="test", split_samples=3)


def test_a_record_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make_record().digest = "1" * 64
