"""What a checkpoint says of its tokenizer beside `tokenizer.json`: special tokens, what is added to
a text, and the chat template.

The rules of precedence are those of transformers 4.57 (`PreTrainedTokenizerBase._from_pretrained`
and `AutoTokenizer`): `tokenizer_config.json` counts, and `special_tokens_map.json` over it where
the first lists no added tokens.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build_engine.checkpoint.files import (
    ADDED_TOKENS_FILE,
    CHAT_TEMPLATE_FILE,
    CONFIG_FILE,
    SPECIAL_TOKENS_FILE,
    TOKENIZER_CONFIG_FILE,
    read_object,
)
from build_engine.errors import CheckpointError
from build_engine.files import Unreadable, read_text
from build_engine.validation import shortened

NAMES = (
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
)
NOTES = "notes"  # a key of our own: what was found in the checkpoint that an engine was built from
_ADDITIONAL = "additional_special_tokens"
_DEFAULT_CLASS = "LlamaTokenizer"  # of transformers, for a Llama that names none


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """A token as a file states it: `plain` where it is a text, else with the flags of the
    tokenizers library's AddedToken (None: the library's own).
    """

    content: str
    plain: bool = True
    lstrip: bool = False
    rstrip: bool = False
    single_word: bool = False
    normalized: bool | None = None
    special: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerSettings:
    """What the files say. `kind` is the class, without the `Fast` of its name; `implied` is whether
    no file names one. `special` holds the tokens that a file names, None where it says that there
    is none. `added` are the tokens by their ids, None where no file lists them.
    """

    kind: str
    implied: bool
    special: Mapping[str, SpecialToken | None]
    additional: tuple[SpecialToken, ...] = ()
    extra: Mapping[str, SpecialToken]
    added: Mapping[int, SpecialToken] | None = None
    add_bos: bool | None = None
    add_eos: bool | None = None
    add_prefix_space: bool | None = None
    clean_up_spaces: bool = False
    split_special: bool = False
    chat_template: str | None = None
    notes: tuple[str, ...] = ()


def read_settings(folder: Path) -> TokenizerSettings:
    """The settings in a checkpoint's folder, or in an engine's. Raises CheckpointError for a file
    that is damaged, or in which a value is not of its type.
    """
    said = optional_object(folder / TOKENIZER_CONFIG_FILE)
    source = _Source(folder / TOKENIZER_CONFIG_FILE, said)
    config = optional_object(folder / CONFIG_FILE)
    kind = said.get("tokenizer_class") or config.get("tokenizer_class") or _DEFAULT_CLASS
    if not isinstance(kind, str):
        raise source.wrong("tokenizer_class", "the name of a class")
    special = {name: source.token(name) for name in NAMES if name in said}
    additional, added = source.tokens(_ADDITIONAL), source.added()
    extra = said.get("extra_special_tokens") or {}
    if isinstance(extra, list):  # as transformers 5 writes them
        additional, extra = additional + source.tokens("extra_special_tokens"), {}
    if added is None:
        beside = _Source(
            folder / SPECIAL_TOKENS_FILE, optional_object(folder / SPECIAL_TOKENS_FILE)
        )
        special |= {name: beside.token(name) for name in NAMES if name in beside.said}
        more = beside.tokens(_ADDITIONAL)
        additional += tuple(token for token in more if token not in additional)
        added = _listed(folder)
    return TokenizerSettings(
        kind=kind.removesuffix("Fast"),
        implied="tokenizer_class" not in {**said, **config},
        special=special,
        additional=additional,
        extra=_Source(source.path, extra).all_tokens("extra_special_tokens"),
        added=added,
        add_bos=source.flag("add_bos_token"),
        add_eos=source.flag("add_eos_token"),
        add_prefix_space=source.flag("add_prefix_space"),
        clean_up_spaces=bool(source.flag("clean_up_tokenization_spaces")),
        split_special=bool(source.flag("split_special_tokens")),
        chat_template=_chat_template(folder, source),
        notes=(*source.texts(NOTES), *_chat_notes(folder, source)),
    )


def optional_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} if there is no such file. Raises CheckpointError."""
    try:
        return read_object(path)
    except FileNotFoundError:
        return {}


class _Source:
    """The values of one file, each checked when it is asked for."""

    def __init__(self, path: Path, said: Any) -> None:
        self.path, self.said = path, said

    def wrong(self, key: str, wanted: str) -> CheckpointError:
        found = json.dumps(self.said.get(key) if isinstance(self.said, dict) else self.said)
        return CheckpointError(
            f"{self.path}: {key} is {shortened(found)}, and must be {wanted}; download the "
            "checkpoint again or correct it."
        )

    def flag(self, key: str) -> bool | None:
        value = self.said.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def token(self, key: str) -> SpecialToken | None:
        value = self.said.get(key)
        return None if value is None else self._parsed(key, value)

    def tokens(self, key: str) -> tuple[SpecialToken, ...]:
        value = self.said.get(key) or []
        if not isinstance(value, list):
            raise self.wrong(key, "a list of tokens")
        return tuple(self._parsed(key, item) for item in value)

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.said.get(key) or []
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(key, "a list of texts")
        return tuple(value)

    def all_tokens(self, key: str) -> dict[str, SpecialToken]:
        """Every value of the object, which `key` is called in a message."""
        if not isinstance(self.said, dict):
            raise self.wrong(key, "an object or a list of tokens")
        return {name: self._parsed(name, value) for name, value in self.said.items()}

    def added(self) -> dict[int, SpecialToken] | None:
        key = "added_tokens_decoder"
        if key not in self.said:
            return None
        stated = self.said[key]
        if not isinstance(stated, dict) or not all(number.isdecimal() for number in stated):
            raise self.wrong(key, "an object of tokens by their ids")
        return {int(number): self._parsed(key, value) for number, value in stated.items()}

    def _parsed(self, key: str, value: object) -> SpecialToken:
        if isinstance(value, str):
            return SpecialToken(value)
        if isinstance(value, dict) and isinstance(value.get("content"), str):
            names = ("lstrip", "rstrip", "single_word", "normalized", "special")
            flags = {name: value[name] for name in names if value.get(name) is not None}
            if all(isinstance(each, bool) for each in flags.values()):
                return SpecialToken(value["content"], plain=False, **flags)
        raise self.wrong(key, "a text, or a token object with its `content` and flags")


def _listed(folder: Path) -> dict[int, SpecialToken] | None:
    """The tokens of an `added_tokens.json`, which only old checkpoints have."""
    path = folder / ADDED_TOKENS_FILE
    said = optional_object(path)
    if not all(type(number) is int and number >= 0 for number in said.values()):
        raise CheckpointError(f"{path} must name the id of each token; download it again.")
    return {number: SpecialToken(text) for text, number in said.items()} or None


def _chat_template(folder: Path, source: _Source) -> str | None:
    """The default template: that of its own file, else that of `tokenizer_config.json`."""
    alone = _chat_file(folder)
    return _stated_template(source) if alone is None else alone


def _chat_notes(folder: Path, source: _Source) -> list[str]:
    """What is to be said where a checkpoint has two default templates that differ."""
    alone, stated = _chat_file(folder), _stated_template(source)
    if alone is None or stated is None or alone.strip() == stated.strip():
        return []
    return [
        f"its {CHAT_TEMPLATE_FILE} and the chat_template of its {TOKENIZER_CONFIG_FILE} differ; a "
        f"workload with chat_template takes {CHAT_TEMPLATE_FILE}, as transformers does"
    ]


def _chat_file(folder: Path) -> str | None:
    path = folder / CHAT_TEMPLATE_FILE
    try:
        return read_text(path)
    except FileNotFoundError:
        return None
    except Unreadable as problem:
        raise CheckpointError(f"{path} {problem}; download the checkpoint again.") from None


def _stated_template(source: _Source) -> str | None:
    stated = source.said.get("chat_template")
    if isinstance(stated, list):
        named = {
            item.get("name"): item.get("template") for item in stated if isinstance(item, dict)
        }
        stated = named.get("default")
    elif isinstance(stated, dict):
        stated = stated.get("default")
    if stated is not None and not isinstance(stated, str):
        raise source.wrong("chat_template", "a text, or a list of templates with a default")
    return stated
