"""What goes wrong between us and a server, in words for the user.

A cause is a clause: whoever reads it has been told which server it is of.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from runtime.endpoint.words import without_last_word, words_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse

    from runtime.endpoint.key import Key

_MOST_ERROR_BYTES = 16_384
_LONG, _SHORT = 400, 60  # characters of what a server says: whole, and of what is longer than that
_LEAST_WAIT_S = 0.1
_USUAL_WAIT_S = 1.0
_MOST_WAIT_S = 30.0
_NO_ENTRY = (401, 403)
_NOT_FOUND = 404
_TOO_MANY = 429
_UNAVAILABLE = 503
_FILES = (
    "no more files may be open here; give a lower --max-in-flight, or raise the limit (ulimit -Hn)"
)
_OURS = {
    errno.EMFILE: _FILES,
    errno.ENFILE: _FILES,
    errno.EADDRNOTAVAIL: "no port is free here for a connection; give a lower --max-in-flight",
}
"""What keeps us from a connection, whoever is at its other end."""


class Lost(Exception):
    """The server answers nobody any more, or nobody like us."""


class WantsKey(Lost):
    """It lets us in with another key only."""


class HungUp(Lost):
    """It closed the connection before it answered, as servers do with one that was idle."""


class Refused(Exception):
    """The server does not answer this request."""


class Busy(Exception):
    """The server wants to be asked again."""

    def __init__(self, wait_s: float, cause: str) -> None:
        super().__init__(f"it is busy: {cause}")
        self.wait_s = wait_s
        self.cause = cause


class _Inner(BaseModel):
    message: str | None = None


class _ErrorBody(BaseModel):
    """OpenAI's shape, `{"error": {"message"}}`; vLLM and TensorRT-LLM had `{"message"}` alone, and
    FastAPI has `{"detail"}`.
    """

    error: _Inner | str | None = None
    message: str | None = None
    detail: str | None = None

    @property
    def text(self) -> str | None:
        """What it says."""
        error = self.error.message if isinstance(self.error, _Inner) else self.error
        return error or self.message or self.detail


def said(content: bytes, key: Key) -> str:
    """What the body of an error says, on one line; of a page, or of one that was cut off, the
    beginning.
    """
    told = content.decode(errors="replace")
    try:
        text = _ErrorBody.model_validate_json(content).text
    except ValidationError:
        text = None
    if not text:  # the key may have a tag in it
        text = re.sub(r"<[^>]*>", " ", key.hidden(told))
    if len(content) >= _MOST_ERROR_BYTES:
        text = without_last_word(text)
    return words_of(text, key, _LONG if len(text) <= _LONG else _SHORT)


async def require_answer(response: ClientResponse, key: Key) -> None:
    """Return where the server answers. Raises Lost, Refused or Busy."""
    status = response.status
    if status == 200:
        return
    told = said(await start_of(response, _MOST_ERROR_BYTES), key).rstrip(".")
    cause = f"HTTP {status}{f': {told}' if told else ''}"
    if status == _TOO_MANY or (status == _UNAVAILABLE and "retry-after" in response.headers):
        raise Busy(_wait_s(response.headers.get("retry-after")), cause)
    if status in _NO_ENTRY:
        what = "has no key" if key.secret is None else "has another key"
        raise WantsKey(f"it wants a key, and {key.variable} {what} ({cause})")
    if 300 <= status < 400:
        where = words_of(response.headers.get("location", "elsewhere"), key, _SHORT)
        raise Lost(f"it sends us to {where}; give that address")
    if status == _NOT_FOUND:
        raise Lost(f"it has no such model, or no /v1/completions ({cause})")
    raise Refused(cause)


def _wait_s(header: str | None) -> float:
    """Seconds of a `Retry-After`; a date is none that we read."""
    try:
        wait_s = float(header or "")
    except ValueError:
        wait_s = math.nan
    return min(max(wait_s, _LEAST_WAIT_S), _MOST_WAIT_S) if math.isfinite(wait_s) else _USUAL_WAIT_S


async def start_of(response: ClientResponse, most_bytes: int) -> bytes:
    """The content, up to so many bytes, and whatever came with the last of these."""
    content = bytearray()
    async for data in response.content.iter_any():
        content += data
        if len(content) >= most_bytes:
            break
    return bytes(content)


@contextlib.contextmanager
def connection() -> Iterator[None]:
    """What the network does, as Lost."""
    import aiohttp

    try:
        yield
    except aiohttp.ClientConnectorCertificateError as error:
        raise Lost(
            f"its certificate is not trusted ({error.certificate_error}); name the file of its "
            "authority in SSL_CERT_FILE"
        ) from None
    except aiohttp.ClientSSLError as error:
        raise Lost(f"TLS with it failed ({error.os_error.strerror or error.os_error})") from None
    except aiohttp.ClientConnectorError as error:
        if ours := _OURS.get(error.os_error.errno or 0):
            raise Lost(f"it cannot be reached, by no fault of its own: {ours}") from None
        reason = error.os_error.strerror or str(error.os_error) or "no answer"
        raise Lost(f"it cannot be reached ({reason})") from None
    except aiohttp.ServerTimeoutError:
        raise Lost("it did not answer in time") from None
    except aiohttp.ServerDisconnectedError:
        raise HungUp("it hung up without an answer") from None
    except aiohttp.ClientOSError as error:
        raise HungUp(f"the connection broke ({error.strerror or 'reset'})") from None
    except aiohttp.ClientPayloadError:
        raise Lost("it hung up in the middle of an answer") from None
    except aiohttp.ClientError as error:
        raise Lost(f"it speaks no HTTP that we know ({type(error).__name__})") from None
    except asyncio.TimeoutError:
        raise Lost("it did not answer in time") from None
