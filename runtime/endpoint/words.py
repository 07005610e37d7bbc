"""What a server says, as people and records may have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.validation import shortened

if TYPE_CHECKING:
    from runtime.endpoint.key import Key

_MOST = 400
_MOST_READ = 2000  # looking for the key takes longer than the text is long


def words_of(text: str, key: Key, most: int = _MOST) -> str:
    """`text` on one line of at most so many characters, without the key and without what a terminal
    would obey.
    """
    if len(text) > _MOST_READ:
        text = without_last_word(text[:_MOST_READ])
    shown = "".join(each if each.isprintable() else " " for each in key.hidden(text))
    return shortened(" ".join(shown.split()), most)


def without_last_word(text: str) -> str:
    """Of a text that was cut off, on one line: half a key at its end would not be known for one."""
    return " ".join(text.split()[:-1]) or text
