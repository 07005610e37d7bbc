"""The key: whatever a server makes of it, nobody else reads it."""

from __future__ import annotations

import html
import json
from urllib.parse import quote

import pytest

from build_engine.errors import UsageError
from runtime.endpoint.faults import said
from runtime.endpoint.key import Key, read_key
from runtime.endpoint.words import words_of

SECRET = "sk+ab/cd==<x>&'Z\\9"
KEY = Key("X", SECRET)
AS_JSON = json.dumps(SECRET)[1:-1]


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        AS_JSON,
        json.dumps(AS_JSON)[1:-1],
        AS_JSON.replace("/", "\\/"),
        "".join(f"\\u{ord(each):04x}" for each in SECRET),
        AS_JSON.replace("+", "\\u002B"),
        quote(SECRET, safe=""),
        quote(quote(SECRET, safe=""), safe="").lower().replace("z", "Z"),
        html.escape(SECRET),
        html.escape(SECRET).replace("+", "&plus;").replace("/", "&#x2F;").replace("=", "&#61;"),
        html.escape(html.escape(SECRET)),
        repr(SECRET.encode())[2:-1],
    ],
)
def test_it_is_hidden_however_it_is_written(written: str) -> None:
    assert KEY.hidden(f"no: {written}.") == "no: ***."
    for body in (written, f"<p>{written}</p>", f'{{"error":{{"message":"{written}"}}}}'):
        told = said(body.encode(), KEY)
        assert "***" in told and "ab" not in told and "cd" not in told


@pytest.mark.parametrize("body", ['{"error": {"message": "%s"}}', '{"error": {"message": "%s'])
def test_it_is_hidden_in_json_that_is_whole_and_in_json_that_is_cut(body: str) -> None:
    assert "***" in said((body % AS_JSON.replace("/", "\\/")).encode(), KEY)


def test_half_of_it_at_the_end_of_what_was_read_is_not_shown() -> None:
    assert said(b"no " + b" " * 16_384 + SECRET[:9].encode(), KEY) == "no"


def test_words_that_have_nothing_of_it_stay() -> None:
    assert KEY.hidden("sk+ab/cd=") == "sk+ab/cd="
    assert Key("X", None).hidden(SECRET) == SECRET


@pytest.mark.parametrize("word", ["sk-secret-123", "hf_secret", "secret", "X=secret"])
def test_a_key_in_the_place_of_its_name_is_not_repeated(word: str) -> None:
    with pytest.raises(UsageError, match="--api-key-env takes the name") as refused:
        read_key(word, {})
    assert "secret" not in str(refused.value)


def test_a_name_may_be_of_any_kind_where_it_is_one() -> None:
    assert read_key("my_key", {"my_key": "k1"}).secret == "k1"


def test_what_a_server_says_at_any_length_is_read_in_no_time() -> None:
    key = Key("KEY", "sk-1001")
    assert len(words_of("\\" * 2**20, key)) <= 400
    told = words_of(f"{'word ' * 399}half sk-1001{'x' * 2**20}", key, most=4000)
    assert "sk-1" not in told
    assert told.startswith("word word")
    long_key = "sk-1001" * 9  # of which the first 7 characters are read
    assert "sk-1" not in words_of("word" * 498 + "\n" + long_key, Key("KEY", long_key), most=4000)
