"""A long JSON list is read record by record, and a cut or damaged one is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from build_engine.errors import DatasetError
from harness.dataset.sources import json_list
from harness.dataset.sources.json_list import read_records

RECORDS: list[Any] = [
    {"input": "a “b” \\ ] [ , é" * i, "tok_input": list(range(i))} for i in range(40)
]


@pytest.fixture(params=[7, 64, 1 << 20])
def _chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "_CHUNK_CHARS", request.param)


def _file(folder: Path, text: str) -> Path:
    path = folder / "cnn_eval.json"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.usefixtures("_chunk")
@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_record_comes_as_json_reads_it(
    tmp_path: Path, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(RECORDS, indent=indent, ensure_ascii=ascii_only)
    assert list(read_records(_file(tmp_path, f"\ufeff {text}\n\n"))) == RECORDS


@pytest.mark.usefixtures("_chunk")
@pytest.mark.parametrize("text", ["[]", " [ \n ] "])
def test_an_empty_list_has_no_records(tmp_path: Path, text: str) -> None:
    assert list(read_records(_file(tmp_path, text))) == []


@pytest.mark.usefixtures("_chunk")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    text = json.dumps(RECORDS, indent=4)
    path = _file(tmp_path, text[: int(len(text) * share)])
    with pytest.raises(DatasetError, match=r"is not valid JSON after \d+ records .* cut off"):
        list(read_records(path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a JSON list"),
        ("{}", "must be a JSON list"),
        ('[{"a": 1} {"a": 2}]', "not valid JSON after 1 records"),
        ('[{"a": 1},]', "not valid JSON after 1 records"),
        ('[{"a": 1}', "not valid JSON after 1 records"),
        ('[{"a": 1}] trailing', "goes on after the end of its list"),
        ("[" * 100_000, "not valid JSON after 0 records"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        list(read_records(_file(tmp_path, text)))


def test_a_broken_record_does_not_swallow_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_list, "_CHUNK_CHARS", 64)
    monkeypatch.setattr(json_list, "_MAX_RECORD_CHARS", 256)
    path = _file(tmp_path, '[{"a": "no end' + " x" * 4000)
    with pytest.raises(DatasetError, match="after 0 records"):
        list(read_records(path))


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cnn_eval.json"
    path.write_bytes(b'[{"input": "\xe9"}]')
    with pytest.raises(DatasetError, match="is not UTF-8 text"):
        list(read_records(path))
