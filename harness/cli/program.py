"""How this program was started, and so how a command of it is written for the next time."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from harness.streams import printable

NAME = "enginebench"


def program() -> list[str]:
    """The words that start the program again: its name where a shell finds it by that, else the
    path or the `python -m` that it was started by.
    """
    started = sys.argv[0]
    path = Path(started)
    if path.name == "__main__.py" and path.parent.name == NAME:
        return sys.orig_argv[: len(sys.orig_argv) - len(sys.argv) + 1]
    if path.name != NAME:
        return [NAME]  # called from Python
    found = shutil.which(NAME)
    by_name = found is not None and os.path.realpath(found) == os.path.realpath(started)
    return [NAME if by_name else started]


def command_line(words: Iterable[object]) -> str:
    """A command of this program, to be pasted into a shell as it is."""
    return " ".join(_quoted(word) for word in (*program(), *map(str, words)))


def _quoted(word: str) -> str:
    """`word` as a shell reads it; what a terminal cannot show is written by its bytes."""
    if printable(word) == word:
        return shlex.quote(word)
    plain = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(plain)}'"
