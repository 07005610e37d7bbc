"""How much text one token can stand for, so that a text that is far too long is known without
tokenising it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from build_engine.files import parse_json

if TYPE_CHECKING:
    import tokenizers

_BYTES = [f"<0x{value:02X}>" for value in range(256)]  # the tokens of `byte_fallback`
_KEEPING = ("ByteLevel", "Digits", "Metaspace", "Prepend")  # each character of a text


def longest_text(backend: tokenizers.Tokenizer) -> int | None:
    """Characters of the longest text that one token stands for; None where there is no such bound:
    where characters are left out or drawn together before a text is cut up, where one token stands
    for all that is unknown, and for what we do not know to be otherwise.
    """
    from tokenizers import models, pre_tokenizers

    model, vocabulary = backend.model, backend.get_vocab(with_added_tokens=True)
    if not isinstance(model, models.BPE):
        return None
    parts = list(_parts(backend.normalizer)) + list(_parts(backend.pre_tokenizer))
    if not all(_keeps(part) for part in parts):
        return None
    by_bytes = any(part["type"] == "ByteLevel" for part in parts)
    if not by_bytes and not model.byte_fallback:
        return None
    every_byte = pre_tokenizers.ByteLevel.alphabet() if by_bytes else _BYTES
    if not all(each in vocabulary for each in every_byte):
        return None
    added = backend.get_added_tokens_decoder().values()
    if any(token.lstrip or token.rstrip for token in added):  # they take the spaces around them
        return None
    return max(map(len, vocabulary))


def _parts(part: Any) -> Iterator[Any]:
    """A normalizer or a pre-tokenizer, or what a sequence of them is made of."""
    if part is None:
        return
    pending = [parse_json(part.__getstate__())]
    while pending:
        said = pending.pop()
        inside = said.get("normalizers", said.get("pretokenizers"))
        if inside is None:
            yield said
        else:
            pending += inside


def _keeps(part: Any) -> bool:
    """Whether a text has as many characters afterwards, or more."""
    if part["type"] == "Split":
        return bool(part["behavior"] != "Removed")
    if part["type"] == "Replace":
        return len(part["content"]) >= len(part["pattern"].get("String", part["content"] + "?"))
    return bool(part["type"] in _KEEPING)
