"""JSON and YAML have one reader, which takes nothing unbounded; files are written whole or not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from build_engine.errors import EngineError, OutputError
from build_engine.files import (
    MAX_DEPTH,
    Unreadable,
    below,
    cannot_write,
    check_writable,
    parse_json,
    parse_yaml,
    read_bytes,
    read_json,
    read_yaml,
    replaced,
    write_beside,
    write_json,
)


def nested(depth: int) -> str:
    return "[" * depth + "]" * depth


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "is not valid JSON"),
        ("", "is not valid JSON"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "says `c` twice"),
        ('{"\\ud800": 1, "\\ud800": 2}', r"says `\?` twice"),
        ('{"a": NaN}', "holds NaN"),
        ('{"a": -Infinity}', "holds -Infinity"),
        (nested(MAX_DEPTH + 1), "inside each other"),
        ("[" * 100_000, "inside each other"),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        (b'{"\\uDC00": 1}', "half of a surrogate pair"),
        ("1" * 5000, "a number of thousands of digits"),
        ("{" + '"a": 1, ' * 50_000 + '"a": 1}', "says `a` twice"),
        ('{"a": ' + "9" * 5000 + "}", "is not valid JSON"),
        ('{"a": "\ud800"}', "half of a surrogate pair in `a`"),
        (b'"\xff"', "is not UTF-8 text"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8 text"),  # U+D800 as if it were a character
        ('{"a": "\\ud800"}'.encode("utf-16"), "is not UTF-8 text"),
        ('{"a": "\\ud800"}'.encode("utf-16-le"), "is not valid JSON"),
        ('{"a": "\\ud800"}'.encode("utf-32-be"), "is not valid JSON"),
        (b"[" + b"[]," * 2**21 + b"[]]", "holds more than 2,097,152 lists and objects"),
        ("[" + "{}," * 2**21 + "{}]", "holds more than 2,097,152 lists and objects"),
    ],
)
def test_a_json_text_that_is_not_sound_is_named(text: str | bytes, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        parse_json(text)


def test_json_is_utf8_with_a_mark_or_without() -> None:
    for text in ('{"a": "\N{GRINNING FACE}"}', '{"a": "\\ud83d\\ude00"}'):
        for encoding in ("utf-8", "utf-8-sig"):
            assert parse_json(text.encode(encoding)) == {"a": "\N{GRINNING FACE}"}


def test_json_may_be_as_deep_as_is_allowed() -> None:
    value = parse_json(nested(MAX_DEPTH))
    for _ in range(MAX_DEPTH - 1):
        (value,) = value
    assert value == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: &x [1]\nb: *x\n", "line 2.*alias"),
        ("a: 1\na: 2\n", "line 2.*`a` appears twice"),
        (nested(MAX_DEPTH + 1), "inside each other"),
        (nested(5000), "inside each other"),
        ("a: 2026-13-01\n", "quote it"),
        ("a: !!bool abc\n", "line 1.*the tag"),
        ("a: !!timestamp ''\n", "line 1.*the tag"),
        ("!!set [1]\n", "line 1.*the tag"),
        ("true: a\nyes: b\n", "line 2.*`yes` appears twice"),
        ("1: a\n1.0: b\n", "line 2.*`1.0` appears twice"),
        ('a: "\\ud800"\n', "half of a surrogate pair"),
        ("a: [\n", "is not valid YAML"),
        ("a: 12:30\n", "line 1.*base 60; quote it"),
        ("a: 190:20:30.15\n", "line 1.*base 60; quote it"),
        ("1:30: a\n", "line 1.*base 60; quote it"),
        ("a: 1" + ":1" * 100_000, "line 1.*base 60; quote it"),
        ("a: " + "1" * 200_000, "line 1.*a number of thousands of digits"),
        ("a: 0x" + "f" * 200_000, "line 1.*a number of thousands of digits"),
        ("a: 1." + "1" * 200_000, "line 1.*a number of thousands of digits"),
        ("a: !!python/name:os.system ''\n", "line 1"),
    ],
)
def test_a_yaml_text_that_is_not_sound_is_named(text: str, told: str) -> None:
    with pytest.raises(Unreadable, match=told):
        parse_yaml(text)


def test_yaml_values_are_those_of_the_safe_loader() -> None:
    assert parse_yaml("a: 1\nb: [x, null, true]\n") == {"a": 1, "b": ["x", None, True]}
    assert parse_yaml("[1_000, -0x1F, 1.5e+3, .5, 012]") == [1000, -31, 1500.0, 0.5, 10]


def test_what_cannot_be_read_is_the_given_error_with_its_remedy(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text("{")
    with pytest.raises(EngineError, match=r"x\.json is not valid JSON .*; build it again\.$"):
        read_json(file, EngineError, "build it again")
    file.write_bytes(b"\xff\xfe[\x00")
    with pytest.raises(EngineError, match=r"is not UTF-8 text; build it again\.$"):
        read_yaml(file, EngineError, "build it again")


def test_only_regular_files_of_a_bounded_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "endless").symlink_to("/dev/zero")
    for name in ("pipe", "endless", "."):
        with pytest.raises(EngineError, match="is not a regular file"):
            read_json(tmp_path / name, EngineError, "no")
    (tmp_path / "large").write_text('"' + "x" * 2000 + '"')
    with pytest.raises(EngineError, match=r"more than the 0\.000953674 MiB"):
        read_json(tmp_path / "large", EngineError, "no", max_bytes=1000)


def test_a_file_that_is_too_long_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as stream:
        stream.truncate(2**40)
    with pytest.raises(Unreadable, match="more than the 64 MiB"):
        read_bytes(tmp_path / "sparse")


def test_a_name_that_no_file_has(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="has a name that no file has"):
        read_bytes(tmp_path / "a\0b")


def test_what_lies_below_a_folder_is_found_without_following_links(tmp_path: Path) -> None:
    (tmp_path / "top" / "a" / "b").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    for name in ("top/x", "top/a/b/y", "outside/z"):
        (tmp_path / name).touch()
    (tmp_path / "top" / "a" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "top" / "loop").symlink_to(tmp_path)
    found = sorted(str(path.relative_to(tmp_path / "top")) for path in below(tmp_path / "top"))
    assert found == ["a/b/y", "a/link", "loop", "x"]
    assert list(below(tmp_path / "absent")) == []


def test_folders_within_folders_have_an_end(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(MAX_DEPTH + 1):
        deep = deep / "d"
    deep.mkdir(parents=True)
    with pytest.raises(Unreadable, match="more than 64 folders inside each other"):
        list(below(tmp_path))


@pytest.mark.parametrize("name", ["absent", "file/below"])
def test_a_missing_file_is_for_the_caller_to_explain(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / name, EngineError, "no")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    write_json(file, {"a": Path("b")}, durable=True)
    write_beside(tmp_path / "y", b"\x00")
    assert parse_json(file.read_bytes()) == {"a": "b"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.json", "y"]


def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("before")
    with pytest.raises(KeyboardInterrupt), replaced(file) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]


def test_the_error_names_the_place_the_reason_and_the_remedy(tmp_path: Path) -> None:
    assert (
        str(cannot_write(tmp_path, OSError(28, "No space left on device")))
        == f"Cannot write to {tmp_path} (No space left on device); free space, or choose another "
        "--output."
    )
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"):
        check_writable(tmp_path / "file" / "below")
    check_writable(tmp_path / "new" / "folder")
