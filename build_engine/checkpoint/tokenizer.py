"""The tokenizer of a Hugging Face checkpoint folder: text to ids and back, in batches.

Ids are what the checkpoint's own `tokenizer.json` gives, special tokens included and never
truncated; texts are what `batch_decode(skip_special_tokens=True)` of transformers 4.57 gives. As in
every checkpoint that transformers saved, `tokenizer.json` must itself mark the special tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.checkpoint.files import CONFIG_FILE, GENERATION_FILE, TOKENIZER_FILE, read_object
from build_engine.checkpoint.rust import silenced, sound
from build_engine.errors import CheckpointError
from build_engine.files import Unreadable, read_bytes
from build_engine.memory import require_address_space

if TYPE_CHECKING:
    import numpy as np
    import tokenizers
    from numpy.typing import NDArray

# Texts, and characters, per call of the library: large enough to keep all cores busy, small enough
# for progress, and for its memory: 140 bytes a character.
_CHUNK = 512
_CHUNK_CHARS = 2**21
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
        *,
        clean_up_spaces: bool,
        bos_id: int | None,
        file: Path = Path(TOKENIZER_FILE),
    ) -> None:
        self._backend = backend
        self._file = file
        self._clean_up_spaces = clean_up_spaces
        self.bos_id = bos_id
        """Id of the token that starts a sequence, or None if the checkpoint names none."""

    @classmethod
    def load(cls, folder: Path) -> Tokenizer:
        """Read the tokenizer of a checkpoint folder.

        Raises:
            CheckpointError: `tokenizer.json` is missing, or a file is damaged.
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
        try:
            content = read_bytes(path)
        except Unreadable as problem:
            raise CheckpointError(f"{path} {problem}; download the checkpoint again.") from None
        with silenced(), sound(path):
            backend = tokenizers.Tokenizer.from_buffer(content)
            backend.no_truncation()
            backend.no_padding()
            backend.decode(backend.encode(_TRIAL).ids)
        settings = _settings(folder / "tokenizer_config.json")
        clean_up_spaces = bool(settings.get("clean_up_tokenization_spaces", False))
        return cls(backend, clean_up_spaces=clean_up_spaces, bos_id=bos_id(folder), file=path)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, added ones included; the model's embedding may have more rows."""
        return int(self._backend.get_vocab_size(with_added_tokens=True))

    def encode_batch(
        self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None
    ) -> list[NDArray[np.int32]]:
        """Token ids of each text, int32[tokens], special tokens as the checkpoint adds them.

        `on_progress` is called with the number of texts done, several times up to `len(texts)`.
        Raises CheckpointError where the library fails, or gives an id that is no int32.
        """
        import numpy as np

        encoded: list[NDArray[np.int32]] = []
        for chunk in _chunks(texts):
            with sound(self._file):
                encodings = self._backend.encode_batch_fast(chunk)
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
        return [_clean_up(text) for text in texts] if self._clean_up_spaces else texts


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
        value = _settings(folder / name).get("bos_token_id")
        first = value[0] if isinstance(value, list) and value else value
        if isinstance(first, int):
            return first
    return None


def _clean_up(text: str) -> str:
    for old, new in _CLEAN_UP:
        text = text.replace(old, new)
    return text


def _settings(path: Path) -> dict[str, Any]:
    """The object in a JSON file; {} if there is no such file."""
    try:
        return read_object(path)
    except FileNotFoundError:
        return {}
