"""A digest is remembered as long as the file is as it was, and never of a file that has changed."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from build_engine import digest
from build_engine.digest import file_sha256, hash_file, remember_sha256


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_what_is_remembered_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert file_sha256(file) == _sha256(b"content")
    monkeypatch.setattr(digest, "hash_file", lambda path: "b" * 64)
    assert file_sha256(file) == _sha256(b"content")
    assert file_sha256(tmp_path / "." / "file") == _sha256(b"content")
    file.write_bytes(b"longer content")
    assert file_sha256(file) == "b" * 64


def test_a_file_that_changes_while_it_is_read_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"before")

    def slow(path: Path) -> str:
        found = hash_file(path)
        path.write_bytes(b"after it")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(digest, "hash_file", slow)
        file_sha256(file)
    assert file_sha256(file) == _sha256(b"after it")


def test_a_digest_that_was_found_out_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    remember_sha256(file, "a" * 64)
    assert file_sha256(file) == "a" * 64
    os.utime(file, ns=(1, 1))
    assert file_sha256(file) == _sha256(b"content")


@pytest.mark.parametrize("in_place", [True, False])
def test_another_content_of_the_same_size_and_time_is_hashed(
    tmp_path: Path, in_place: bool
) -> None:
    """`rsync -t` writes such a file beside, and renames it; `touch -r` is enough for one."""
    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert file_sha256(file) == _sha256(b"content")
    times = file.stat()
    target = file if in_place else tmp_path / "beside"
    target.write_bytes(b"altered")
    os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns))
    target.replace(file)
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (7, times.st_mtime_ns)
    assert file_sha256(file) == _sha256(b"altered")


@pytest.mark.parametrize("content", ["", "{", "[]", '{"sha256": "x"}', '{"schema_version": 9}'])
def test_what_is_damaged_is_forgotten(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    file_sha256(file)
    (entry,) = (tmp_path / "home" / "digests").iterdir()
    entry.write_text(content)
    assert file_sha256(file) == _sha256(b"content")
    assert _sha256(b"content") in entry.read_text()


def test_a_cache_that_cannot_be_written_costs_time_only(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file")
    file = tmp_path / "file"
    file.write_bytes(b"content")
    assert file_sha256(file) == _sha256(b"content")


def test_a_name_of_other_bytes_than_utf8(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"caf\xe9")
    file.write_bytes(b"content")
    assert file_sha256(file) == _sha256(b"content")
