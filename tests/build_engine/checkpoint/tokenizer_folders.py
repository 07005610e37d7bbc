"""Tokenizers of a hundred words whose files say more, less or other than each other does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

TEXTS = (
    "w5 w6 <s> w7</s> w8",
    "w9",
    "",
    "</s>w4  w5 <pad> <unk> x <new> <mask>",
    "<s>w3",
)
SAID = ("w5 w6", "w7 <s> w8\nw9", '{"a": "<b>"}')
_NAMES = ("<unk>", "<s>", "</s>")
_PLAIN = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}


def _object(content: str, **flags: bool) -> dict[str, Any]:
    """A token as Llama-2's own repository writes it."""
    plain = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    return {"__type": "AddedToken", "content": content, **plain, **flags}


def _listed(content: str, special: bool, **flags: bool) -> dict[str, Any]:
    return {key: value for key, value in _object(content, **flags).items() if key != "__type"} | {
        "special": special
    }


_OBJECTS = {name: _object(text) for name, text in _PLAIN.items()}
_LLAMA: dict[str, Any] = {"tokenizer_class": "LlamaTokenizer", **_PLAIN}
_FAST: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast", **_PLAIN}
# `tokenizer_config.json` and `special_tokens_map.json`, None where there is no such file.
CONFIGS: dict[str, tuple[dict[str, Any] | None, dict[str, Any] | None]] = {
    "llama": (_LLAMA, None),
    "llama without BOS": ({**_LLAMA, "add_bos_token": False}, None),
    "llama with EOS": ({**_LLAMA, "add_bos_token": True, "add_eos_token": True}, None),
    "llama, EOS alone": ({**_LLAMA, "add_bos_token": False, "add_eos_token": True}, None),
    "llama of objects": ({"tokenizer_class": "LlamaTokenizerFast", **_OBJECTS}, None),
    "llama with flags in an object": (
        {**_LLAMA, "bos_token": _object("<s>", rstrip=True), "eos_token": _object("</s>")},
        None,
    ),
    "llama of a class alone": ({"tokenizer_class": "LlamaTokenizer"}, None),
    "code llama": ({**_LLAMA, "tokenizer_class": "CodeLlamaTokenizer"}, None),
    "no class": (dict(_PLAIN), None),
    "no file": (None, None),
    "fast": (_FAST, None),
    "fast with flags": ({**_FAST, "add_bos_token": False, "add_eos_token": True}, None),
    "fast that splits special tokens": ({**_FAST, "split_special_tokens": True}, None),
    "fast with a pad token": ({**_FAST, "pad_token": "<pad>"}, None),
    "fast with more tokens": (
        {
            **_FAST,
            "additional_special_tokens": ["<new>"],
            "extra_special_tokens": {"mask_one": "<mask>"},
        },
        None,
    ),
    "fast with listed tokens": (
        {
            **_FAST,
            "added_tokens_decoder": {
                "0": _listed("<unk>", True),
                "1": _listed("<s>", True),
                "2": _listed("</s>", True, lstrip=True),
                "96": _listed("<new>", False),
            },
        },
        {"bos_token": "w5"},
    ),
    "gpt2": ({**_FAST, "tokenizer_class": "GPT2Tokenizer"}, None),
    "map over config": (
        _LLAMA,
        {"bos_token": "w5", "additional_special_tokens": ["<mask>", _listed("<new>", True)]},
    ),
}
CHAT_TEMPLATES = {
    "llama 3": (
        "{{- bos_token }}{%- if not date_string is defined %}"
        "{%- if strftime_now is defined %}{%- set date_string = strftime_now('%d %b %Y') %}"
        "{%- endif %}{%- endif %}"
        "{%- for message in messages %}{{- '<|' + message['role'] + '|> ' + date_string + ' ' }}"
        "{{- message['content'] | trim + ' </s>' }}{%- endfor %}"
        "{%- if add_generation_prompt %}{{- ' <|assistant|> ' }}{%- endif %}"
    ),
    "blocks": (
        "{% for message in messages %}\n"
        "    {% if message.role == 'user' %}\n"
        "[INST] {{ message.content }} [/INST]\n"
        "    {% else %}\n"
        "        {{ raise_exception('only users speak') }}\n"
        "    {% endif %}\n"
        "    {% if loop.first %}{% continue %}{% endif %}\n"
        "{% endfor %}"
    ),
    "json": "{{ messages | tojson }} {{ tools is none }} {{ eos_token }}{{ pad_token is defined }}",
    "generation": (
        "{% for m in messages %}{% generation %}{{ m['content'] }}{% endgeneration %}{% endfor %}"
    ),
}


def write_folder(
    folder: Path, name: str, *, marked: bool = True, bos: bool = True, chat: str | None = None
) -> Path:
    """A folder with the files of `CONFIGS[name]`; `marked` is whether `tokenizer.json` lists the
    special tokens, `bos` whether its template adds one. Returns `folder`.
    """
    config, special = CONFIGS[name]
    ids = {"bos_token_id": 1, "eos_token_id": 2}
    _write(folder / "config.json", {"model_type": "llama", **ids})
    _write(folder / "tokenizer.json", _tokenizer(marked=marked, bos=bos))
    if config is not None:
        template = {} if chat is None else {"chat_template": CHAT_TEMPLATES[chat]}
        _write(folder / "tokenizer_config.json", {**config, **template})
    if special is not None:
        _write(folder / "special_tokens_map.json", special)
    return folder


def _tokenizer(*, marked: bool, bos: bool) -> dict[str, Any]:
    words = {f"w{number}": number for number in range(3, 96)}
    vocab = {name: number for number, name in enumerate(_NAMES)} | words
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [
        {"id": number, "content": name, **flags, "special": name != "</s>"}
        for number, name in enumerate(_NAMES)
    ]
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    template = {
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, sequence],
        "pair": [sequence, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
    }
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added if marked else [],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": template if bos else None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": vocab, "unk_token": "<unk>"},
    }


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")
