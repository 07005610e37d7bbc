"""Standard streams as they come: closed before we began, full, or without a reader, as `head` goes.

What people read on standard error is dropped when it cannot be written, and the work goes on. What
machines read on standard output is dropped when nobody reads it; a full disk is an error.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shlex
import sys
from typing import IO

_NOBODY_READS = (errno.EPIPE, errno.EBADF)
# C0, DEL, C1, line separators, what turns the direction of text, and bytes that were no UTF-8
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    """`text` on one line, with what a terminal would obey instead of show written as in Python
    source: a name from a file moves no cursor, and says no more than one line.
    """
    return _UNPRINTABLE.sub(lambda found: ascii(found.group())[1:-1], text)


def shell_word(word: str) -> str:
    """`word` as a shell reads it; what a terminal cannot show is written by its bytes."""
    if printable(word) == word:
        return shlex.quote(word)
    plain = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b"\\'" else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f"$'{''.join(plain)}'"


def prepare() -> None:
    """Make the standard streams usable: one that was closed leads nowhere, and no text is refused
    for its characters.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # else the next file that is opened gets the number, and a child writes into it
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def write(stream: IO[str], text: str) -> None:
    """Write and flush `text`; drop it, and all that follows, when nobody reads the stream.

    Raises OSError, once, when the stream cannot take it (a full disk).
    """
    try:
        stream.write(text)
        stream.flush()
    except OSError as error:
        discard(stream)
        if error.errno not in _NOBODY_READS:
            raise


def tell(stream: IO[str], text: str) -> None:
    """Write and flush `text` for people; drop it, and all that follows, when that cannot be."""
    with contextlib.suppress(OSError):
        write(stream, text)


def finish() -> bool:
    """Write what the standard streams still hold; whether standard output could take it.

    Python's own attempt, at its exit, would fail with an exit code of its own.
    """
    tell(sys.stderr, "")
    try:
        write(sys.stdout, "")
    except OSError:
        return False
    return True


def discard(stream: IO[str]) -> None:
    """Send what is still written to `stream` nowhere; Python's flush at exit would else fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    except io.UnsupportedOperation:  # a stream that is no file
        return
    finally:
        os.close(nowhere)
