"""Standard streams whose reader has gone, as `head` goes: what is left to say is dropped, and the
work goes on.
"""

from __future__ import annotations

import os
from typing import IO


def write(stream: IO[str], text: str) -> None:
    """Write and flush `text`; drop it, and all that follows, when nobody reads the stream."""
    try:
        stream.write(text)
        stream.flush()
    except BrokenPipeError:
        discard(stream)


def discard(stream: IO[str]) -> None:
    """Send what is still written to `stream` nowhere; Python's flush at exit would else fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
