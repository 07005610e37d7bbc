"""The conditions on what an answer says: its ids are tokens, none of them fills up, and they are
its text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.rules.verdict import Rule
from harness.runs.conditions.same_answers import MANY

if TYPE_CHECKING:
    from harness.runs.reading import Reading

# A tokenizer writes a text with about as few ids as it can, so that a model's answer, tokenised
# again, keeps its length: 98 % of it and more in the measurements of docs/running.md. Ids without a
# text, or a text that takes fewer, were added.
MIN_SHARE_OF_TEXT = 0.9
# A few short answers tell little: one that counts "4444" digit by digit is a tenth of six. So the
# limit is lowered by three standard errors, as they are between the answers, and by no more than
# this.
_MOST_DOUBT = 0.1
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
    off = [
        (n - share * length) * times
        for n, length, times in zip(again, lengths, reading.times, strict=True)
    ]
    limit = MIN_SHARE_OF_TEXT - _doubt(off, given)
    return Rule(
        name="ids of the text",
        passed=share >= limit,
        measured=f"a text of {needed:,} ids in answers of {given:,} ({share:.1%})",
        allowed=f"{limit:.1%} or more ({MIN_SHARE_OF_TEXT:.0%} less three standard errors)",
        remedy="an answer must not be filled up with spaces or ids that are no text",
        value=share,
        limit=limit,
    )


def _doubt(off: Sequence[float], given: int) -> float:
    """Three standard errors of a share of `given` ids, by how far each answer is off it."""
    num = len(off)
    if num < 2 or not given:
        return _MOST_DOUBT
    error = math.sqrt(sum(each**2 for each in off) * num / (num - 1)) / given
    return min(3 * error, _MOST_DOUBT)


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
