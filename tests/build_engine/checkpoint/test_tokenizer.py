"""The tokenizer of a checkpoint folder, on a small byte-level BPE made in the test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from build_engine.checkpoint.tokenizer import Tokenizer
from build_engine.errors import CheckpointError
from newsbrief import CHECKPOINT

# One text with every replacement of `clean_up_tokenization_spaces`, and what transformers 4.57.6
# made of it.
SPACED = "Go . Who ? Ah ! So , he ' s ' n do n't I 'm it 's we 've you 're . 't"
CLEANED = "Go. Who? Ah! So, he's'n don't I'm it's we've you're. 't"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint folder as Llama's: byte-level BPE, BOS before each text, truncation and padding
    left switched on in the file, as a fine-tuning script may leave them.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers import decoders, models, pre_tokenizers, processors, trainers

    backend = Backend(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<|begin|>", "<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(["the cat sat on the mat and the other cat"] * 3, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", special_tokens=[("<|begin|>", 0)]
    )
    backend.enable_truncation(4)
    backend.enable_padding(pad_id=1, pad_token="<|end|>")
    backend.save(str(tmp_path / "tokenizer.json"))
    _write(tmp_path / "config.json", {"bos_token_id": 0, "eos_token_id": 1})
    return tmp_path


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


def test_encode_adds_bos_and_neither_truncates_nor_pads(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    short, long = tokenizer.encode_batch(["the", "the cat sat on the mat, zebra!"])
    assert short.dtype == long.dtype == np.int32
    assert short[0] == long[0] == tokenizer.bos_id == 0
    assert len(short) < 4 < len(long)
    assert 0 not in long[1:]


def test_decode_is_the_inverse_of_encode_without_special_tokens(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    texts = ["the cat, \n caf\xe9 \u4e2d \U0001f600", " leading", "", "x . y"]
    assert tokenizer.decode_batch(tokenizer.encode_batch(texts)) == texts


@pytest.mark.parametrize("special", [True, False])
def test_one_text_has_the_ids_that_it_has_in_a_batch(special: bool) -> None:
    tokenizer = Tokenizer.load(CHECKPOINT)
    texts = ["The council said  so.", "", "zebra \N{SNOWMAN}", "the council " * 400]
    batch = tokenizer.encode_batch(texts, add_special_tokens=special)
    for text, ids in zip(texts, batch, strict=True):
        alone = tokenizer.encode(text, add_special_tokens=special)
        assert (alone.tolist(), alone.dtype) == (ids.tolist(), ids.dtype)
        assert [tokenizer.plain_text(ids.tolist())] == tokenizer.plain_texts([ids.tolist()])


def test_decode_takes_lists_and_arrays_and_skips_special_and_unknown_ids(folder: Path) -> None:
    tokenizer = Tokenizer.load(folder)
    (ids,) = tokenizer.encode_batch(["the cat"])
    unknown = tokenizer.vocab_size + 5
    assert tokenizer.decode_batch([[*ids.tolist(), 1, unknown], ids, [0, 1], []]) == [
        "the cat",
        "the cat",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"clean_up_tokenization_spaces": True}, CLEANED),
        ({"clean_up_tokenization_spaces": False}, SPACED),
        ({}, SPACED),
        (None, SPACED),
    ],
)
def test_spaces_are_cleaned_up_only_if_the_checkpoint_says_so(
    folder: Path, settings: dict[str, bool] | None, expected: str
) -> None:
    if settings is not None:
        _write(folder / "tokenizer_config.json", settings)
    tokenizer = Tokenizer.load(folder)
    assert tokenizer.decode_batch(tokenizer.encode_batch([SPACED])) == [expected]


def test_progress_counts_up_to_the_last_text(folder: Path) -> None:
    done: list[int] = []
    texts = ["the cat"] * 1100
    assert len(Tokenizer.load(folder).encode_batch(texts, done.append)) == 1100
    assert done == sorted(done)
    assert done[-1] == 1100
    assert len(done) > 1


def test_long_texts_are_encoded_a_few_at_a_time(folder: Path) -> None:
    texts = ["Hello " * 150_000] * 5
    steps: list[int] = []
    encoded = Tokenizer.load(folder).encode_batch(texts, steps.append)
    assert steps == [2, 4, 5]
    assert len(encoded) == 5


def test_no_texts_give_no_ids(folder: Path) -> None:
    assert Tokenizer.load(folder).encode_batch([]) == []
    assert Tokenizer.load(folder).decode_batch([]) == []


def test_generation_config_decides_over_config(folder: Path) -> None:
    for value, expected in ((5, 5), ([6, 7], 6), (None, 0)):
        _write(folder / "generation_config.json", {"bos_token_id": value})
        assert Tokenizer.load(folder).bos_id == expected


def test_checkpoint_that_names_no_bos(folder: Path) -> None:
    (folder / "config.json").unlink()
    assert Tokenizer.load(folder).bos_id is None


def test_vocab_size_counts_added_tokens(folder: Path) -> None:
    path = folder / "tokenizer.json"
    before = Tokenizer.load(folder).vocab_size
    content = json.loads(path.read_text("utf-8"))
    content["added_tokens"].append(content["added_tokens"][0] | {"id": before, "content": "<|x|>"})
    _write(path, content)
    assert Tokenizer.load(folder).vocab_size == before + 1


def test_missing_tokenizer_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no tokenizer\.json; download the whole"):
        Tokenizer.load(tmp_path)


@pytest.mark.parametrize("content", ["", "{", "{}", "not json"])
def test_damaged_tokenizer_is_refused(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"tokenizer\.json is damaged .* again\.$"):
        Tokenizer.load(folder)


@pytest.mark.parametrize("name", ["tokenizer_config.json", "config.json", "generation_config.json"])
@pytest.mark.parametrize(
    ("content", "message"),
    [("{", r"is not valid JSON .*download"), ("[1]", "not a JSON object")],
)
def test_damaged_settings_are_refused(folder: Path, name: str, content: str, message: str) -> None:
    (folder / name).write_text(content)
    with pytest.raises(CheckpointError, match=message):
        Tokenizer.load(folder)


def test_what_ids_are_tokens_and_what_their_text_takes_is_told() -> None:
    tokenizer = Tokenizer.load(CHECKPOINT)
    assert tokenizer.special_ids == {0, 1}
    assert [tokenizer.knows(i) for i in (-1, 0, 4095, 4096)] == [False, True, True, False]
    (ids,) = tokenizer.encode_batch(["The council said  so."])
    (text,) = tokenizer.plain_texts([ids.tolist()])
    assert text == "The council said  so."
    assert tokenizer.count_ids([text, ""]) == [len(ids) - 1, 0]  # without BOS


def test_a_token_for_unknown_text_is_not_one_that_fills_up(tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Backend
    from tokenizers import models

    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3}
    words = Backend(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.add_special_tokens(["<unk>", "<s>", "</s>"])
    words.save(str(tmp_path / "tokenizer.json"))
    assert Tokenizer.load(tmp_path).special_ids == {1, 2}
