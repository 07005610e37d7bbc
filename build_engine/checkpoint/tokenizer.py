"""The tokenizer of a Hugging Face checkpoint folder: text to ids and back, in batches.

Ids are what AutoTokenizer of transformers 4.57 gives for the folder, special tokens included and
never truncated; texts are what its `batch_decode(skip_special_tokens=True)` gives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from build_engine.checkpoint.chat import ChatTemplate
from build_engine.checkpoint.files import (
    CHAT_TEMPLATE_FILE,
    CONFIG_FILE,
    GENERATION_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
)
from build_engine.checkpoint.rust import silenced, sound
from build_engine.checkpoint.special_tokens import apply_settings
from build_engine.checkpoint.token_text import longest_text
from build_engine.checkpoint.tokenizer_settings import NAMES, NOTES, optional_object, read_settings
from build_engine.errors import CheckpointError
from build_engine.files import Unreadable, read_bytes, write_beside, write_json
from build_engine.memory import require_address_space

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
    from numpy.typing import NDArray

    from build_engine.checkpoint.special_tokens import Tokens
    from build_engine.checkpoint.tokenizer_settings import TokenizerSettings

# Texts, and characters, per call of the library: large enough to keep all cores busy, small enough
# for progress, and for its memory: 140 bytes a character.
_CHUNK = 512
_CHUNK_CHARS = 2**21
_SHORT_CHARS = 2048
_TRIAL = "A text to try it with: 1, 2."

# `clean_up_tokenization_spaces` of transformers: these replacements, in this order.
_CLEAN_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


class Tokenizer:
    """Encodes and decodes batches of text; made by `Tokenizer.load`."""

    def __init__(
        self,
        backend: tokenizers.Tokenizer,
        folder: Path,
        settings: TokenizerSettings,
        tokens: Tokens,
        notes: Sequence[str],
    ) -> None:
        self._backend = backend
        self._folder = folder
        self._settings = settings
        self._tokens = tokens
        self.bos_id = bos_id(folder)
        """Id of the token that starts a sequence, or None if the checkpoint names none."""
        self.notes = tuple(dict.fromkeys((*settings.notes, *notes)))
        """What the checkpoint's files say differently of its tokens, in sentences."""

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer of a checkpoint folder, or of an engine's.

        Raises:
            CheckpointError: `tokenizer.json` is missing, or a file is damaged or cannot be meant.
            EnvironmentFault: there is too little memory for the library's threads.
        """
        import tokenizers

        require_address_space("a tokenizer")
        path = folder / TOKENIZER_FILE
        if not path.is_file():
            raise CheckpointError(
                f"{folder} has no tokenizer.json; download the whole checkpoint, or write the file "
                f"with `save_pretrained` of the tokenizer in transformers."
            )
        settings = read_settings(folder)
        try:
            content = read_bytes(path)
        except Unreadable as problem:
            raise CheckpointError(f"{path} {problem}; download the checkpoint again.") from None
        with silenced(), sound(path):
            backend = tokenizers.Tokenizer.from_buffer(content)
            backend.no_truncation()
            backend.no_padding()
            tokens, notes = apply_settings(backend, settings, folder)
            backend.decode(backend.encode(_TRIAL).ids)
        ends = tokens.get("eos_token")
        notes += _id_notes(folder, tokens, backend.token_to_id(ends) if ends else None)
        return cls(backend, folder, settings, tokens, notes)

    def save(self, folder: Path) -> None:
        """Write into the folder of an engine what `load` needs to make the same tokenizer of it,
        in files of our own making. Raises OSError.
        """
        self._backend.save(str(folder / TOKENIZER_FILE))
        tokens = self._tokens.by_name
        named = {name: text for name, text in tokens.items() if name in NAMES}
        config: dict[str, object] = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            **named,
            "added_tokens_decoder": {},  # tokenizer.json has them all: nothing is to be added
            "additional_special_tokens": list(self._tokens.additional),
            "extra_special_tokens": {n: text for n, text in tokens.items() if n not in NAMES},
            "add_prefix_space": self._prefix_space,
            "clean_up_tokenization_spaces": self._settings.clean_up_spaces,
            "split_special_tokens": self._settings.split_special,
            NOTES: list(self.notes),
        }
        write_json(folder / TOKENIZER_CONFIG_FILE, config)
        ids = {"bos_token_id": self.bos_id, "eos_token_id": list(stop_ids(self._folder))}
        write_json(folder / GENERATION_FILE, ids)
        if self._settings.chat_template is not None:
            write_beside(folder / CHAT_TEMPLATE_FILE, self._settings.chat_template)

    @property
    def _file(self) -> Path:
        return self._folder / TOKENIZER_FILE

    @property
    def _prefix_space(self) -> bool:
        """Whether a byte-level pre-tokenizer puts a space before each text."""
        return bool(getattr(self._backend.pre_tokenizer, "add_prefix_space", False))

    @property
    def digest(self) -> str:
        """SHA-256 in hex of what decides a prompt's ids; that of an engine is its checkpoint's."""
        parts = [
            self._backend.to_str(),
            self._settings.split_special,
            self._settings.chat_template,
            sorted(self._tokens.by_name.items()),
            self._tokens.additional,
            self.bos_id,
            self.notes,
        ]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def chat(self, template: str | None = None) -> ChatTemplate:
        """The checkpoint's chat template, or another one with its special tokens. Raises
        CheckpointError where there is none, or none that can be used.
        """
        template = template or self._settings.chat_template
        if template is None:
            raise CheckpointError(
                f"{self._folder} has no chat template; leave chat_template out of the workload, or "
                "take a checkpoint that was trained to chat."
            )
        return ChatTemplate(template, self._tokens, self._folder)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included; the model's embedding may have more rows."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def longest_text(self) -> int | None:
        """See `longest_text` of `token_text.py`."""
        return longest_text(self._backend)

    def encode_batch(
        self,
        texts: Sequence[str],
        on_progress: Callable[[int], None] | None = None,
        *,
        add_special_tokens: bool = True,
    ) -> list[NDArray[np.int32]]:
        """Token ids of each text, int32[tokens], special tokens as the checkpoint adds them; none
        are added to a text that a chat template made.

        `on_progress` is called with the number of texts done, several times up to `len(texts)`.
        Raises CheckpointError where the library fails, or gives an id that is no int32.
        """
        import numpy as np

        encoded: list[NDArray[np.int32]] = []
        for chunk in _chunks(texts):
            with sound(self._file):
                encodings = self._backend.encode_batch_fast(
                    chunk, add_special_tokens=add_special_tokens
                )
                encoded.extend(np.array(encoding.ids, dtype=np.int32) for encoding in encodings)
            if on_progress is not None:
                on_progress(len(encoded))
        return encoded

    def decode_batch(self, sequences: Iterable[Sequence[int] | NDArray[np.int32]]) -> list[str]:
        """Text of each sequence of ids, without the special tokens; unknown ids give no text."""
        import numpy as np

        ids = [np.asarray(sequence, dtype=np.int64).tolist() for sequence in sequences]
        with sound(self._file):
            texts: list[str] = self._backend.decode_batch(ids, skip_special_tokens=True)
        return [_clean_up(text) for text in texts] if self._settings.clean_up_spaces else texts

    @property
    def special_ids(self) -> frozenset[int]:
        """Ids of the special tokens, which are no text; but for the one that stands for text that
        the vocabulary has not.
        """
        unknown = getattr(self._backend.model, "unk_token", None)
        added = self._backend.get_added_tokens_decoder()
        return frozenset(
            index for index, token in added.items() if token.special and token.content != unknown
        )

    def knows(self, token_id: int) -> bool:
        """Whether there is a token of this id."""
        return token_id >= 0 and self._backend.id_to_token(token_id) is not None

    def encode(self, text: str, *, add_special_tokens: bool = True) -> NDArray[np.int32]:
        """See `encode_batch`: of one text. A short one takes no other thread: those of the library
        come to run late on a machine that computes something. With them it leaves the interpreter
        lock free, which matters where a text is long.
        """
        import numpy as np

        if len(text) > _SHORT_CHARS:
            [ids] = self.encode_batch([text], add_special_tokens=add_special_tokens)
            return ids
        with sound(self._file):
            encoding = self._backend.encode(text, add_special_tokens=add_special_tokens)
            return np.array(encoding.ids, dtype=np.int32)

    def plain_text(self, ids: Sequence[int]) -> str:
        """See `plain_texts`: of one sequence, in this thread."""
        with sound(self._file):
            text: str = self._backend.decode(ids, skip_special_tokens=True)
        return text

    def plain_texts(self, sequences: Iterable[Sequence[int]]) -> list[str]:
        """Text of each sequence of known ids, its spaces as they are, without special tokens."""
        with sound(self._file):
            texts: list[str] = self._backend.decode_batch(list(sequences), skip_special_tokens=True)
        return texts

    def prompt_text(self, ids: Sequence[int]) -> str:
        """The text of a prompt with its special tokens, but for the first one that starts a
        sequence: whoever tokenises a text begins it so.
        """
        rest = ids[1:] if ids and ids[0] == self.bos_id else ids
        with sound(self._file):
            text: str = self._backend.decode(list(rest), skip_special_tokens=False)
        return text

    def count_ids(self, texts: Sequence[str]) -> list[int]:
        """How many ids each text has, without special tokens."""
        with sound(self._file):
            encoded = self._backend.encode_batch_fast(list(texts), add_special_tokens=False)
        return [len(encoding.ids) for encoding in encoded]


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    num_chars = 0
    for text in texts:
        if chunk and (len(chunk) == _CHUNK or num_chars + len(text) > _CHUNK_CHARS):
            yield chunk
            chunk, num_chars = [], 0
        chunk.append(text)
        num_chars += len(text)
    if chunk:
        yield chunk


def bos_id(folder: Path) -> int | None:
    """The id that starts a sequence, from a checkpoint's `generation_config.json`, else its
    `config.json`; None where neither names one. Raises CheckpointError for a damaged file.
    """
    for name in (GENERATION_FILE, CONFIG_FILE):
        value = optional_object(folder / name).get("bos_token_id")
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, int):
            return first
    return None


def stop_ids(folder: Path) -> tuple[int, ...]:
    """The ids that end an answer, by the same files. Raises CheckpointError for a damaged file."""
    for name in (GENERATION_FILE, CONFIG_FILE):
        said = optional_object(folder / name)
        if "eos_token_id" in said:
            value = said["eos_token_id"]
            ids = value if isinstance(value, list) else [value]
            return tuple(item for item in ids if isinstance(item, int))
    return ()


def _id_notes(folder: Path, tokens: Tokens, eos_id: int | None) -> Iterator[str]:
    """Where the ids that the configs name are not those of the tokenizer's own tokens."""
    stops = stop_ids(folder)
    if eos_id is not None and eos_id not in stops:
        listed = ", ".join(map(str, stops)) or "no id"
        yield (
            f"the tokenizer ends a text with {tokens.get('eos_token')} ({eos_id}), and an answer "
            f"ends at {listed} by {GENERATION_FILE} or {CONFIG_FILE}: the latter counts, as with "
            "transformers"
        )


def _clean_up(text: str) -> str:
    for old, new in _CLEAN_UP:
        text = text.replace(old, new)
    return text
