"""Text that comes in pieces is the text of the whole."""

from __future__ import annotations

import random

import pytest

from build_engine.checkpoint.resolve import resolve_checkpoint
from build_engine.checkpoint.tokenizer import Tokenizer
from runtime.server.text import AnswerText

TEXT = "Zürich, 5 \N{EURO SIGN}: \N{ROCKET}\N{ROCKET} said \N{SNOWMAN} of the minister of trade."


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.load(resolve_checkpoint("newsbrief").folder)


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    [ids] = tokenizer.encode_batch([text], add_special_tokens=False)
    found: list[int] = ids.tolist()
    return found


def pieces(answer: AnswerText, ids: list[int], seed: int) -> list[str]:
    """In pieces of up to three ids."""
    draw, at, given = random.Random(seed), 0, []
    while at < len(ids) and not answer.stopped:
        end = min(len(ids), at + draw.randint(1, 3))
        given.append(answer.add(ids[at:end], last=end == len(ids)))
        at = end
    return given


@pytest.mark.parametrize("seed", range(8))
def test_no_character_comes_in_halves(tokenizer: Tokenizer, seed: int) -> None:
    ids = ids_of(tokenizer, TEXT)
    given = pieces(AnswerText(tokenizer), ids, seed)
    assert "".join(given) == tokenizer.plain_texts([ids])[0]
    assert len([piece for piece in given if piece]) > 5
    assert not any("\N{REPLACEMENT CHARACTER}" in piece for piece in given)


def test_an_answer_that_ends_in_half_a_character_says_so(tokenizer: Tokenizer) -> None:
    ids = ids_of(tokenizer, "a\N{ROCKET}")[:-1]
    answer = AnswerText(tokenizer)
    assert answer.add(ids, last=False) == ""
    assert answer.add([], last=True) == tokenizer.plain_texts([ids])[0]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    ("stops", "kept"),
    [
        ((" of",), TEXT.partition(" of")[0]),
        (("trade", "minister of"), TEXT.partition("minister of")[0]),
        (("minister x", "trade.!"), TEXT),
    ],
)
def test_an_answer_ends_before_a_stop_however_it_comes(
    tokenizer: Tokenizer, stops: tuple[str, ...], kept: str, seed: int
) -> None:
    answer = AnswerText(tokenizer, stops)
    assert "".join(pieces(answer, ids_of(tokenizer, TEXT), seed)) == kept
    assert answer.stopped == (kept != TEXT)
    assert answer.add([5], last=True) == "" or not answer.stopped


def test_ids_that_are_no_token_have_no_text(tokenizer: Tokenizer) -> None:
    assert AnswerText(tokenizer).add([10**6, *ids_of(tokenizer, "so")], last=True) == "so"
