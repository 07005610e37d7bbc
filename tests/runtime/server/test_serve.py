"""Addresses, keys and sizes: what a server is not started with."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from build_engine.errors import EnvironmentFault, MissingLibrary, UsageError
from runtime.server import serve
from runtime.server.settings import KEY_VARIABLE, ServerSettings, read_key_digest


def test_a_free_port_is_taken_and_told() -> None:
    with serve.bind("127.0.0.1", 0, has_key=False) as bound:
        port = bound.getsockname()[1]
        assert serve.url(bound) == f"http://127.0.0.1:{port}"
        with pytest.raises(EnvironmentFault, match=rf"^Port {port} of 127.0.0.1 cannot be had"):
            serve.bind("127.0.0.1", port, has_key=False)


def test_others_need_a_key() -> None:
    with pytest.raises(UsageError, match=rf"there is no key; put one into {KEY_VARIABLE}"):
        serve.bind("0.0.0.0", 0, has_key=False)
    serve.bind("0.0.0.0", 0, has_key=True).close()


@pytest.mark.parametrize(
    ("host", "port"), [("no.such.host.invalid", 0), ("a..b", 0), ("127.0.0.1", 65536)]
)
def test_an_address_that_is_none(host: str, port: int) -> None:
    with pytest.raises(UsageError, match=r"^--(host|port)"):
        serve.bind(host, port, has_key=True)


@pytest.mark.parametrize("sizes", [(0, 1), (65537, 1), (1, 0)])
def test_sizes_that_cannot_be(sizes: tuple[int, int]) -> None:
    with pytest.raises(UsageError, match=r"^--max-"):
        ServerSettings(name="x", max_requests=sizes[0], max_body_bytes=sizes[1])


def test_the_key_is_in_a_file_or_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sesame\n")
    digest = hashlib.sha256(b"sesame").digest()
    assert read_key_digest(file, {KEY_VARIABLE: "other"}) == digest
    assert read_key_digest(None, {KEY_VARIABLE: "sesame"}) == digest
    assert read_key_digest(None, {}) is None


@pytest.mark.parametrize("content", ["", " \n", "zwölf", "a\tb"])
def test_a_key_that_is_none_opens_nothing(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    with pytest.raises(UsageError, match="holds no key"):
        read_key_digest(file, {})
    with pytest.raises(UsageError, match=f"{KEY_VARIABLE} holds no key"):
        read_key_digest(None, {KEY_VARIABLE: content})


def test_a_key_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(UsageError, match="--api-key-file"):
            read_key_digest(path, {})


def test_a_missing_library_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serve, "_LIBRARIES", ("no_such_library",))
    with pytest.raises(MissingLibrary, match=r"enginebench\[serve\]"):
        serve.require_libraries()
