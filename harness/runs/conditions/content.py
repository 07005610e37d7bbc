"""The conditions on what an answer says: its ids are tokens, none of them fills up, and they are
its text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from harness.rules.verdict import Rule
from harness.runs.conditions.same_answers import MANY

if TYPE_CHECKING:
    from harness.runs.reading import Reading

# A tokenizer writes a text with about as few ids as it can, so that a model's answer, tokenised
# again, keeps its length: 98 % of it and more in the measurements of docs/running.md. Ids without a
# text, or a text that takes fewer, were added.
MIN_SHARE_OF_TEXT = 0.9
LANGUAGE_RULES = {
    "EOS check",
    "ids of the vocabulary",
    "special ids",
    "ids of the text",
    "empty answers",
    "different answers",
    "one token again and again",
    "doubled ids",
}
"""Names of the rules on answers that a run's verdict has only where the engine's tokenizer is."""
_SHOWN = 5
_INVISIBLE = re.compile(r"[\s\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]{2,}")


def of_content(reading: Reading) -> Iterator[Rule]:
    """All of them."""
    yield known_ids(reading)
    yield no_special_ids(reading)
    yield ids_are_text(reading)
    yield not_empty(reading)


def known_ids(reading: Reading) -> Rule:
    """Every id is a token of the vocabulary."""
    wrong = reading.unknown_ids
    more = ", ..." if len(wrong) > _SHOWN else ""
    return Rule(
        name="ids of the vocabulary",
        passed=not wrong,
        measured=f"{len(wrong):,} others ({', '.join(map(str, wrong[:_SHOWN]))}{more})"
        if wrong
        else "no others",
        allowed=f"none but the tokens below {reading.language.vocab_size:,}",
        remedy="the engine must give the ids that the model chose",
        value=len(wrong),
        limit=0,
        unit="ids",
    )


def no_special_ids(reading: Reading) -> Rule:
    """No answer holds a special token, such as one that begins a text, but for its stop id."""
    import numpy as np

    forbidden = sorted(reading.language.forbidden_ids)
    wrong = reading.num_with(bool(np.isin(ids, forbidden).any()) for ids in reading.answers)
    return Rule(
        name="special ids",
        passed=not wrong,
        measured=f"{wrong:,} of {reading.num_answers:,} answers have one",
        allowed="none but the stop id at the end",
        remedy="an answer must not be filled up",
        value=wrong,
        limit=0,
        unit="answers",
    )


def ids_are_text(reading: Reading) -> Rule:
    """The text of the answers, tokenised again, has about as many ids as they have.

    A run of white space, or of what cannot be seen, counts as its first character: no score looks
    at it.
    """
    texts = [_INVISIBLE.sub(lambda run: run[0][0], text) for text in reading.texts]
    again = reading.language.tokenizer.count_ids(texts)
    stops = set(reading.language.stop_ids)
    lengths = [len(ids) - (int(ids[-1]) in stops) if len(ids) else 0 for ids in reading.answers]
    given = sum(n * times for n, times in zip(lengths, reading.times, strict=True))
    needed = sum(n * times for n, times in zip(again, reading.times, strict=True))
    share = needed / given if given else 1.0
    return Rule(
        name="ids of the text",
        passed=share >= MIN_SHARE_OF_TEXT,
        measured=f"a text of {needed:,} ids in answers of {given:,} ({share:.1%})",
        allowed=f"{MIN_SHARE_OF_TEXT:.0%} or more",
        remedy="an answer must not be filled up with spaces or ids that are no text",
        value=share,
        limit=MIN_SHARE_OF_TEXT,
    )


def not_empty(reading: Reading) -> Rule:
    """Answers say something."""
    empty = reading.num_with(not text.strip() for text in reading.texts)
    most = int(MANY * reading.num_answers)
    return Rule(
        name="empty answers",
        passed=empty <= most,
        measured=f"{empty:,} of {reading.num_answers:,}",
        allowed=f"{most:,}",
        remedy="check the checkpoint: weights that are broken give no text",
        value=empty,
        limit=most,
        unit="answers",
    )
