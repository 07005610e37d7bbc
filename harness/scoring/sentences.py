"""Split English text into sentences exactly as the MLPerf reference evaluation, without a network.

The reference pins NLTK 3.8.1 and calls its `sent_tokenize`: the Punkt splitter of Kiss and Strunk
(2006, Computational Linguistics 32: 485-525; the section numbers below are theirs). We decide as
that version does, with the same English parameters; `data/punkt_english/ORIGIN.md` says whence
they come. NLTK itself is only the witness in our tests: since 3.10 it splits after `.”`, which can
move rougeLsum, and it takes five times as long.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from itertools import pairwise

# Bits of `ortho_context.tab`: where a word was seen in training, and in which case (4.1.1).
_MIDDLE_UPPER = 1 << 2
_ANY_UPPER = 1 << 1 | _MIDDLE_UPPER | 1 << 3
_START_LOWER = 1 << 4
_ANY_LOWER = _START_LOWER | 1 << 5 | 1 << 6

_NUMBER = "##number##"  # how the parameters write any number

# The only characters that bound the word in front of a mark; wider Unicode space does not.
_ASCII_SPACE = " \t\n\r\x0b\x0c"

_ENDS_WORD = r"""[)";}\]*:@'({\[?!]"""
_RUN = r"(?:-{2,}|\.{2,}|(?:\.\s){2,}\.)"  # dashes, dots, or dots with space between them

# A mark that may end a sentence, then a closing character, or space and the next word.
_MARK = re.compile(rf"[.?!](?=(?P<rest>{_ENDS_WORD}|\s+(?P<next>\S+)))")

_BOUNDARY = rf"\s|$|{_ENDS_WORD}|{_RUN}"
_TOKEN = re.compile(
    rf"""{_RUN}|(?![("`{{\[:;&#*@)}}\]\-,])\S+?(?={_BOUNDARY}|,(?:{_BOUNDARY}))|\S"""
)

# Closing characters that belong to the sentence before them: `He said "Go." Then`.
_CLOSING = re.compile(r"""["')\]}]+?(?:\s+|(?=--)|\Z)""")

_NUMERIC = re.compile(r"-?[.,]?\d[\d,.-]*\Z")
_INITIAL = re.compile(r"[^\W\d]\.\Z")


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What Punkt learned about English; words in lower case, abbreviations without the last dot."""

    abbreviations: frozenset[str]
    collocations: frozenset[tuple[str, str]]
    starters: frozenset[str]
    contexts: dict[str, int]


@functools.cache
def _parameters() -> _Parameters:
    folder = files(__package__) / "data" / "punkt_english"

    def rows(name: str) -> list[list[str]]:
        return [line.split("\t") for line in (folder / name).read_text("utf-8").split("\n")]

    return _Parameters(
        abbreviations=frozenset(word for (word,) in rows("abbrev_types.txt")),
        collocations=frozenset((first, second) for first, second in rows("collocations.tab")),
        starters=frozenset(word for (word,) in rows("sent_starters.txt")),
        contexts={word: int(bits) for word, bits in rows("ortho_context.tab")},
    )


def sent_tokenize(text: str) -> list[str]:
    """The sentences of an English text, without the space between them; [] for an empty text.

    Equal to `nltk.sent_tokenize(text)` of NLTK 3.8.1 to 3.9 for every text.
    """
    return [text[start:end] for start, end in _realigned(text, _spans(text))]


def _spans(text: str) -> list[tuple[int, int]]:
    """Start and end of each sentence, before closing quotes and brackets are put in their place."""
    spans = []
    start = 0
    for mark, word_start in _candidates(text):
        if _splits(text[word_start : mark.end()] + mark["rest"]):
            spans.append((start, mark.end()))
            start = mark.end() if mark["next"] is None else mark.start("next")
    spans.append((start, len(text.rstrip())))
    return spans


def _candidates(text: str) -> Iterator[tuple[re.Match[str], int]]:
    """The last mark of each word, with the start of that word.

    "Word" is whatever stands between ASCII space; of `acting!!!` only the last mark is a candidate.
    NLTK forgets this rule for a word that begins with a mark (`?!` gives two candidates) and for a
    space that begins the text; both are kept here.
    """
    held: re.Match[str] | None = None
    word_start = previous = 0
    for mark in _MARK.finditer(text):
        start = mark.start()
        while start > previous and text[start - 1] not in _ASCII_SPACE:
            start -= 1
        new_word = start > previous + 1
        if held is not None and (new_word or word_start == previous):
            yield held, word_start
        if new_word:
            word_start = start
        held, previous = mark, mark.start()
    if held is not None:
        yield held, word_start


def _realigned(text: str, spans: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Give closing quotes and brackets that start a sentence to the sentence before it."""
    moved = 0
    for (start, end), (next_start, next_end) in pairwise(spans):
        closing = _CLOSING.match(text[next_start:next_end])
        if closing:
            yield start + moved, next_start + len(closing[0].rstrip())
            moved = closing.end()
        else:
            yield start + moved, end
            moved = 0
    start, end = spans[-1]
    if start + moved < end:
        yield start + moved, end


def _splits(context: str) -> bool:
    """Whether a sentence ends inside `context`: a word with a mark and what follows it."""
    tokens = [token for line in context.split("\n") for token in _TOKEN.findall(line)]
    return any(_ends_sentence(*pair) for pair in pairwise(tokens))


def _ends_sentence(token: str, following: str) -> bool:
    """Whether a sentence ends between two tokens."""
    if token in ("?", "!"):
        return True
    if not token.endswith("."):
        return False
    parameters = _parameters()
    kind = _kind(token)
    next_kind = _kind(following) if _is_full_stop(following) else _kind_with_dot(following)
    if (kind, next_kind) in parameters.collocations:  # 4.1.2
        return False
    starts = _starts_sentence(following, next_kind)
    if _INITIAL.match(token):  # 4.3
        always_upper = not parameters.contexts.get(next_kind, 0) & _ANY_LOWER
        part_of_name = starts is None and following[0].isupper() and always_upper  # J. Bach
        return _is_full_stop(token) and starts is not False and not part_of_name
    if _is_full_stop(token):
        return kind != _NUMBER or starts is not False  # 4.3: an ordinal, as in "the 5. place"
    # After an abbreviation or an ellipsis the next word must look like a start (4.1.1, 4.1.3).
    return starts is True or (following[0].isupper() and next_kind in parameters.starters)


def _is_full_stop(token: str) -> bool:
    """Whether the token ends a sentence as far as it alone can tell (section 4)."""
    if token in (".", "?", "!"):
        return True
    if not token.endswith(".") or token.endswith(".."):
        return False
    word = token[:-1].lower()
    abbreviations = _parameters().abbreviations
    return word not in abbreviations and word.rsplit("-", 1)[-1] not in abbreviations


def _kind(token: str) -> str:
    """The token as the parameters write it: lower case, no final dot, one name for all numbers."""
    return _kind_with_dot(token).removesuffix(".")


def _kind_with_dot(token: str) -> str:
    kind = token.lower()
    return _NUMBER if _NUMERIC.match(kind) else kind


def _starts_sentence(token: str, kind: str) -> bool | None:
    """The orthographic heuristic (section 4.1.1); None if the case of the word tells nothing."""
    if token in (";", ":", ",", ".", "!", "?"):
        return False
    context = _parameters().contexts.get(kind, 0)
    if token[0].isupper() and context & _ANY_LOWER and not context & _MIDDLE_UPPER:
        return True
    if token[0].islower() and (context & _ANY_UPPER or not context & _START_LOWER):
        return False
    return None
