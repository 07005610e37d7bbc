"""A long JSON list is read record by record, and a cut or damaged one is refused with its place."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import ijson
import pytest

from build_engine.errors import DatasetError
from harness.dataset.sources import json_list
from harness.dataset.sources.json_list import read_records

RECORDS: list[Any] = [
    {"input": "a “b” \\ ] [ , é" * i, "tok_input": list(range(i))} for i in range(40)
]


@pytest.fixture(params=[7, 64, 1 << 20])
def _piece(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_list, "_PIECE_BYTES", request.param)


@pytest.fixture(params=["yajl2_c", "python"])
def _backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that its wheels bring, and the one that is always there."""
    monkeypatch.setattr(ijson, "items", ijson.get_backend(request.param).items)


def test_the_fast_backend_is_the_one_in_use() -> None:
    assert ijson.backend == "yajl2_c"


def _file(folder: Path, text: str) -> Path:
    path = folder / "cnn_eval.json"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.usefixtures("_piece", "_backend")
@pytest.mark.parametrize("indent", [None, 4])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_every_record_comes_as_json_reads_it(
    tmp_path: Path, indent: int | None, ascii_only: bool
) -> None:
    text = json.dumps(RECORDS, indent=indent, ensure_ascii=ascii_only)
    assert list(read_records(_file(tmp_path, f"\ufeff {text}\n\n"))) == RECORDS


@pytest.mark.usefixtures("_piece", "_backend")
@pytest.mark.parametrize("text", ["[]", " [ \n ] "])
def test_an_empty_list_has_no_records(tmp_path: Path, text: str) -> None:
    assert list(read_records(_file(tmp_path, text))) == []


@pytest.mark.usefixtures("_piece", "_backend")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    text = json.dumps(RECORDS, indent=4)
    path = _file(tmp_path, text[: int(len(text) * share)])
    with pytest.raises(DatasetError, match=r"is not valid JSON after \d+ records .* cut off"):
        list(read_records(path))


@pytest.mark.usefixtures("_piece", "_backend")
@pytest.mark.parametrize(
    "escapes",
    [
        pytest.param(r"\ud83d\ude00", id="pair"),
        pytest.param(r"\uD83D\uDE00" * 20, id="pairs"),
        pytest.param(r"\\ud83d", id="a backslash and plain letters"),
        pytest.param(r"\\" * 50, id="backslashes"),
        pytest.param(r"\\\ud83d\ude00\n\u00e9" * 9, id="all"),
    ],
)
def test_escapes_come_whole_wherever_a_piece_ends(tmp_path: Path, escapes: str) -> None:
    for shift in range(14):
        text = f'[{{"a": "{"x" * shift}{escapes}"}}, {{"b": "{escapes}"}}]'
        assert list(read_records(_file(tmp_path, text))) == json.loads(text)


@pytest.mark.usefixtures("_piece")
@pytest.mark.parametrize(
    "half", [r"\ud83d", r"\uDE00", r"\ud83d\n", r"\ud83d\ud83d", r"\\\ud83d", r"\ud83d\\ude00"]
)
def test_half_of_a_surrogate_pair_is_refused_where_it_stands(tmp_path: Path, half: str) -> None:
    for shift in range(14):
        text = f'[{{"a": 1}}, {{"b": "{"x" * shift}{half} and on"}}, {{"c": 2}}]'
        with pytest.raises(DatasetError, match=r"after 1 record \(half of a surrogate pair"):
            list(read_records(_file(tmp_path, text)))


@pytest.mark.usefixtures("_backend")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be a JSON list"),
        ("{}", "must be a JSON list"),
        ('[{"a": 1} {"a": 2}]', "not valid JSON after 1 record"),
        ('[{"a": 1},]', "not valid JSON after 1 record"),
        ('[{"a": 1}', "not valid JSON after 1 record"),
        ('[{"a": 1}] trailing', "goes on after the end of its list"),
        ("\ufeff \n ", "must be a JSON list"),
        ('[{"a": 1}] [1]', "goes on after the end of its list"),
        ('[1, {"a": 1, "a": 2}]', "after 1 record .a record says `a` twice"),
        ("[1, NaN]", "not valid JSON after 1 record"),
        ("[1, 1e999]", "not valid JSON after 1 record"),
    ],
)
def test_what_is_no_list_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        list(read_records(_file(tmp_path, text)))


def test_a_record_that_is_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not valid JSON after 0 records"):
        list(read_records(_file(tmp_path, "[" * 100_000)))


def test_a_number_of_any_length_is_read_or_refused(tmp_path: Path) -> None:
    """As a token id it is refused by who knows what an id may be."""
    assert list(read_records(_file(tmp_path, "[1, 4294967296, 1.5]"))) == [1, 2**32, 1.5]
    with pytest.raises(DatasetError, match=r"after 1 record .*integer overflow"):
        list(read_records(_file(tmp_path, f"[1, {'9' * 5000}]")))


def test_a_broken_record_does_not_swallow_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_list, "_PIECE_BYTES", 64)
    monkeypatch.setattr(json_list, "_MAX_RECORD_BYTES", 256)
    path = _file(tmp_path, '[{"a": "fine"}, {"a": "no end' + " x" * 4000)
    with pytest.raises(DatasetError, match=r"after 1 record .a record has more than"):
        list(read_records(path))
    many = [{"a": "x" * 100} for _ in range(50)]
    assert list(read_records(_file(tmp_path, json.dumps(many)))) == many


def test_many_small_records_are_no_deep_one(tmp_path: Path) -> None:
    records = [{"input": "a", "output": "b", "tok_input": [1]}] * 20_000
    text = json.dumps(records, separators=(",", ":"))
    assert list(read_records(_file(tmp_path, text))) == records


_HEADROOM_BYTES = 400 << 20
_READ = """
import resource, sys
from pathlib import Path
from build_engine.errors import DatasetError
from harness.dataset.sources.json_list import read_records

here = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = here + int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    list(read_records(Path(sys.argv[1])))
except DatasetError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize(
    ("unit", "count", "told"),
    [
        ("[", 20_000_000, "4,096 opening brackets"),
        ('{"a":', 20_000_000, "4,096 opening brackets"),
        ("x", 80_000_000, "64 MiB"),
        ("\\", 80_000_000, "64 MiB"),
        ("9", 80_000_000, "64 MiB"),
        ("1,", 40_000_000, "64 MiB"),
    ],
)
def test_what_is_beyond_bounds_is_refused_in_bounded_memory(
    tmp_path: Path, unit: str, count: int, told: str
) -> None:
    path = tmp_path / "cnn_eval.json"
    with path.open("w") as stream:
        stream.write('[{"a": "' if unit in ("x", "\\") else "[[" if unit == "1," else "[")
        for _ in range(100):
            stream.write(unit * (count // 100))
    done = subprocess.run(
        [sys.executable, "-c", _READ, str(path), str(_HEADROOM_BYTES)],
        cwd=Path(__file__).parents[4],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"after 0 records (a record has more than {told}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("_backend")
def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cnn_eval.json"
    path.write_bytes(b'[{"input": "\xe9"}]')
    with pytest.raises(DatasetError, match="is not UTF-8 text"):
        list(read_records(path))
