"""How much text a token can stand for: a bound where there is one, and none where there is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from build_engine.checkpoint.token_text import longest_text

ROOT = Path(__file__).parents[3]
BYTES = {each: number for number, each in enumerate(pre_tokenizers.ByteLevel.alphabet())}
FALLBACK = {f"<0x{value:02X}>": value for value in range(256)}
NUMBERED = {"a": 256, "b": 257, "ab": 258}


def by_bytes(*before: Any, vocabulary: dict[str, int] = BYTES) -> Tokenizer:
    backend = Tokenizer(models.BPE({**vocabulary, "aaaa": 300, "aa": 301}, [("a", "a")]))
    level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*before, level])
    return backend


def falling_back(normalizer: Any, fallback: bool = True) -> Tokenizer:
    model = models.BPE({**FALLBACK, **NUMBERED}, [("a", "b")], byte_fallback=fallback)
    backend = Tokenizer(model)
    backend.normalizer = normalizer
    return backend


def llama2() -> Any:
    return normalizers.Sequence([normalizers.Prepend("_"), normalizers.Replace(" ", "_")])


def split(behavior: str) -> Any:
    return pre_tokenizers.Split(Regex(r"\s+"), behavior)


def test_the_bundled_models_tokens_are_its_longest_words() -> None:
    backend = Tokenizer.from_file(str(ROOT / "newsbrief/checkpoint/tokenizer.json"))
    assert longest_text(backend) == 17
    text = "  \N{GRINNING FACE}tokens \u0301" * 50
    assert len(text) <= 17 * len(backend.encode(text).ids)


@pytest.mark.parametrize(
    ("backend", "longest"),
    [
        (by_bytes(), 4),
        (by_bytes(pre_tokenizers.Digits(), split("isolated")), 4),
        (falling_back(None), 6),
        (falling_back(llama2()), 6),
        (by_bytes(split("removed")), None),
        (by_bytes(pre_tokenizers.Whitespace()), None),
        (by_bytes(vocabulary={"a": 0}), None),  # other bytes would be left out
        (falling_back(None, fallback=False), None),
        (falling_back(normalizers.Strip()), None),
        (falling_back(normalizers.NFC()), None),
        (falling_back(normalizers.Replace("aa", "a")), None),
        (falling_back(normalizers.Replace(Regex("a+"), "a")), None),
        (Tokenizer(models.WordLevel({"a": 0}, unk_token="a")), None),
    ],
)
def test_there_is_a_bound_where_no_character_is_lost(
    backend: Tokenizer, longest: int | None
) -> None:
    assert longest_text(backend) == longest


def test_added_tokens_count_and_those_that_take_spaces_have_no_bound() -> None:
    backend = by_bytes()
    backend.add_tokens([AddedToken("a long one")])
    assert longest_text(backend) == 10
    backend.add_tokens([AddedToken("x", lstrip=True)])
    assert longest_text(backend) is None
