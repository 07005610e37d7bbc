"""The events of a stream, from bytes as they arrive.

Source: "Server-sent events" in the HTML standard: fields in lines, an event ends at an empty line,
a line that begins with a colon says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

DONE = b"[DONE]"
_MOST_BYTES = 2**22  # of one event; the longest are a few kB
_MOST_END_BYTES = len(b"\r\n\r")  # of its end, before all of it has come


class Malformed(ValueError):
    """What came is no event that we know."""


class Events:
    """Bytes in, the data of whole events out."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The data of the events that end in these bytes, one by one: what is wrong with one takes
        nothing from those before it. Raises Malformed.
        """
        data = self._rest + data
        if b"\r" in data:
            data = data.replace(b"\r\n", b"\n")
        *whole, self._rest = data.split(b"\n\n")
        return self._each(whole)

    def _each(self, whole: Sequence[bytes]) -> Iterator[bytes]:
        for event in whole:
            if len(event) > _MOST_BYTES:
                raise _too_long()
            if (told := _data(event)) is not None:
                yield told
        if len(self._rest) > _MOST_BYTES + _MOST_END_BYTES:
            raise _too_long()

    @property
    def rest(self) -> bytes:
        """Of an event that has not ended."""
        return self._rest.strip()


def _data(event: bytes) -> bytes | None:
    if event.startswith(b"data: ") and b"\n" not in event:
        return event[6:]
    parts = []
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            parts.append(value.removeprefix(b" "))
        elif line and b":" not in line:  # other fields say nothing to us
            raise Malformed(f"a line of the stream is none of an event: {line!r}")
    return b"\n".join(parts) if parts else None


def _too_long() -> Malformed:
    return Malformed(f"an event has more than {_MOST_BYTES:,} bytes")
