"""The tokenizer that transformers makes of `tokenizer.json` and of what is said beside it.

`LlamaTokenizerFast` builds the template that adds BOS and EOS from its own flags, whatever
`tokenizer.json` says; `PreTrainedTokenizerFast` keeps the one of `tokenizer.json` and ignores the
flags. Both mark the tokens that the files name as special. Source: transformers 4.57,
tokenization_utils_fast.py and models/llama/tokenization_llama_fast.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.tokenizer_settings import NAMES, SpecialToken, TokenizerSettings
from build_engine.errors import CheckpointError
from build_engine.files import parse_json

if TYPE_CHECKING:
    from pathlib import Path

    import tokenizers


@dataclass(frozen=True, slots=True)
class _Kind:
    """A class of transformers: whether its flags make the template, and the tokens that it has
    where no file names them.
    """

    own_template: bool = False
    defaults: tuple[tuple[str, str], ...] = ()
    additional: tuple[str, ...] = ()


_LLAMA = (("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"))
_END = "<|endoftext|>"
_KINDS = {
    "LlamaTokenizer": _Kind(own_template=True, defaults=_LLAMA),
    "CodeLlamaTokenizer": _Kind(
        own_template=True,
        defaults=_LLAMA,
        additional=("\u2581<PRE>", "\u2581<MID>", "\u2581<SUF>", "\u2581<EOT>"),
    ),
    "PreTrainedTokenizer": _Kind(),
    "TokenizersBackend": _Kind(),  # the name that transformers 5 gives PreTrainedTokenizerFast
    "GPT2Tokenizer": _Kind(
        defaults=(("bos_token", _END), ("eos_token", _END), ("unk_token", _END))
    ),
}
_PROBE = "a"


@dataclass(frozen=True, slots=True)
class Tokens:
    """The special tokens of a tokenizer, by the names that transformers has for them."""

    by_name: dict[str, str]
    additional: tuple[str, ...]

    def get(self, name: str) -> str | None:
        """The text of one of them."""
        return self.by_name.get(name)


def apply_settings(
    backend: tokenizers.Tokenizer, settings: TokenizerSettings, folder: Path
) -> tuple[Tokens, list[str]]:
    """Change `backend`, read from the `tokenizer.json` of `folder`, to what transformers makes of
    it. Returns its special tokens, and a sentence for each point in which the files disagree.

    Raises CheckpointError for a flag that adds a token which no file names.
    """
    kind = _KINDS.get(settings.kind, _Kind())
    if settings.implied and not _has_all(backend, kind, settings):
        kind = _Kind()
    stated = _stated(backend, settings, kind)
    _add_tokens(backend, settings, stated)
    tokens = Tokens(
        {name: token.content for name, token in stated if name},
        tuple(token.content for name, token in stated if not name),
    )
    notes = _kind_notes(settings)
    before = _added_by(backend)
    if kind.own_template:
        _set_template(backend, settings, tokens, folder)
        notes += _template_notes(before, _added_by(backend))
    else:
        _set_prefix_space(backend, settings)
        notes += _ignored_flags(settings, tokens, backend, before)
    backend.encode_special_tokens = settings.split_special
    return tokens, notes


def _has_all(backend: tokenizers.Tokenizer, kind: _Kind, settings: TokenizerSettings) -> bool:
    """Whether the vocabulary has the BOS that a class which no file names would add: with another
    one, `tokenizer.json` is all that is known.
    """
    named = settings.special.get("bos_token")
    text = named.content if named else dict(kind.defaults).get("bos_token")
    return text is not None and backend.token_to_id(text) is not None


def _stated(
    backend: tokenizers.Tokenizer, settings: TokenizerSettings, kind: _Kind
) -> list[tuple[str, SpecialToken]]:
    """(name, token) of every special token in the library's order; additional ones have no name."""
    found: list[tuple[str, SpecialToken]] = []
    defaults = dict(kind.defaults)
    for name in NAMES:
        if name in settings.special:
            token = settings.special[name]
        else:
            text = defaults.get(name)
            known = text is not None and backend.token_to_id(text) is not None
            token = SpecialToken(text) if text and (known or not settings.implied) else None
        if token is not None:
            found.append((name, token))
    found += [("", token) for token in settings.additional]
    found += [("", SpecialToken(text)) for text in kind.additional]
    return found + list(settings.extra.items())


def _add_tokens(
    backend: tokenizers.Tokenizer,
    settings: TokenizerSettings,
    stated: list[tuple[str, SpecialToken]],
) -> None:
    """Add, or mark as special, what `PreTrainedTokenizerFast.__init__` does."""
    known: dict[int, Any] = backend.get_added_tokens_decoder()
    listed = dict(known) if settings.added is None else {}
    for number, token in (settings.added or {}).items():
        listed[number] = _token(token)
    by_text = {str(token): token for token in listed.values()}
    adding = [token for _, token in sorted(listed.items())]
    texts = {token.content for token in known.values()} | {token.content for token in adding}
    special = {token.content for _, token in stated}
    for name, token in stated:
        mapped = by_text.get(token.content) if name in settings.special else None
        if mapped is None and token.plain and token.content in texts:
            continue
        made = mapped or _token(token)
        if made not in adding:
            adding.append(made)
    for token in adding:
        token.special = token.special or token.content in special
    if adding:
        backend.add_tokens(adding)


def _token(token: SpecialToken) -> Any:
    from tokenizers import AddedToken

    if token.plain:
        return AddedToken(token.content, special=True)
    flags: dict[str, bool] = {} if token.normalized is None else {"normalized": token.normalized}
    return AddedToken(
        token.content,
        lstrip=token.lstrip,
        rstrip=token.rstrip,
        single_word=token.single_word,
        special=token.special,
        **flags,
    )


def _set_template(
    backend: tokenizers.Tokenizer, settings: TokenizerSettings, tokens: Tokens, folder: Path
) -> None:
    from tokenizers import processors

    wanted = {
        "bos_token": settings.add_bos is None or settings.add_bos,
        "eos_token": bool(settings.add_eos),
    }
    used: list[tuple[str, int]] = []
    parts = {"bos_token": "", "eos_token": ""}
    for name in (name for name, adds in wanted.items() if adds):
        text = tokens.get(name)
        number = None if text is None else backend.token_to_id(text)
        if text is None or number is None:
            raise CheckpointError(
                f"{folder}: tokenizer_config.json adds a {name} to each text (add_{name}) and "
                f"names none; name it, or set add_{name} to false."
            )
        parts[name] = text
        used.append((text, number))
    pieces = [parts["bos_token"], "$A", parts["eos_token"]]
    single = [f"{piece}:0" for piece in pieces if piece]
    backend.post_processor = processors.TemplateProcessing(
        single=single, pair=[*single, "$B:1"], special_tokens=used
    )


def _set_prefix_space(backend: tokenizers.Tokenizer, settings: TokenizerSettings) -> None:
    """A byte-level pre-tokenizer has the prefix space that the settings say, or none."""
    from tokenizers import pre_tokenizers

    if not isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        return
    state = parse_json(backend.pre_tokenizer.__getstate__())
    wanted = bool(settings.add_prefix_space)
    if state.get("add_prefix_space", wanted) != wanted:
        options = {key: value for key, value in state.items() if key != "type"}
        backend.pre_tokenizer = pre_tokenizers.ByteLevel(**{**options, "add_prefix_space": wanted})


def _added_by(backend: tokenizers.Tokenizer) -> list[int]:
    """The special ids around a text."""
    encoding = backend.encode(_PROBE)
    return [
        number
        for number, special in zip(encoding.ids, encoding.special_tokens_mask, strict=True)
        if special
    ]


def _template_notes(before: list[int], after: list[int]) -> Iterator[str]:
    if before != after:
        yield (
            f"tokenizer.json adds the ids {before} to each text, and add_bos_token and "
            f"add_eos_token of tokenizer_config.json (stated, or of its class) {after}: prompts "
            "have the latter, as with transformers"
        )


def _ignored_flags(
    settings: TokenizerSettings, tokens: Tokens, backend: tokenizers.Tokenizer, added: list[int]
) -> Iterator[str]:
    for flag, adds, name in (
        ("add_bos_token", settings.add_bos, "bos_token"),
        ("add_eos_token", settings.add_eos, "eos_token"),
    ):
        text = tokens.get(name)
        number = None if text is None else backend.token_to_id(text)
        if adds is not None and adds != (number in added):
            yield (
                f"tokenizer_config.json has {flag} {str(adds).lower()}, and tokenizer.json adds "
                f"the ids {added} to each text: prompts have the latter, as with transformers, "
                f"whose {settings.kind}Fast ignores the flag"
            )


def _kind_notes(settings: TokenizerSettings) -> list[str]:
    notes = []
    if settings.kind not in _KINDS:
        notes.append(
            f"tokenizer_class {settings.kind} is not known here: texts are encoded as "
            "tokenizer.json says"
        )
    elif _KINDS[settings.kind].own_template and settings.add_prefix_space is not None:
        notes.append(
            "tokenizer_config.json has add_prefix_space, for which transformers makes the "
            "tokenizer anew from tokenizer.model: texts are encoded as tokenizer.json says"
        )
    return notes
