"""Why a request is not answered, in the shape of OpenAI's errors."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Kind:
    """A status of HTTP, and how OpenAI calls it."""

    status: int
    type: str
    code: str | None


_INVALID = "invalid_request_error"
MALFORMED = _Kind(400, _INVALID, None)
TOO_LONG = _Kind(400, _INVALID, "context_length_exceeded")
NO_KEY = _Kind(401, "authentication_error", "invalid_api_key")
NO_SUCH_MODEL = _Kind(404, _INVALID, "model_not_found")
TOO_SLOW = _Kind(408, _INVALID, "request_timeout")
TOO_LARGE = _Kind(413, _INVALID, "request_too_large")
NOT_JSON = _Kind(415, _INVALID, "unsupported_media_type")
OVERLOADED = _Kind(429, "rate_limit_error", "rate_limit_exceeded")
FAILED = _Kind(500, "server_error", None)
NO_ENGINE = _Kind(503, "server_error", "engine_died")
ENDING = _Kind(503, "server_error", "server_ends")
NO_CACHE = _Kind(503, "server_error", "overloaded")
HUNG_UP = 499  # as nginx calls it; nobody reads it


class Refused(Exception):
    """A request that gets no answer; the message is for its sender."""

    def __init__(
        self,
        kind: _Kind,
        message: str,
        *,
        parameter: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self._kind = kind
        self._message = message
        self._parameter = parameter
        self._retry_after_s = retry_after_s

    @property
    def status(self) -> int:
        """Of HTTP."""
        return self._kind.status

    @property
    def headers(self) -> dict[str, str]:
        """What goes along with it."""
        wait_s = self._retry_after_s
        return {} if wait_s is None else {"retry-after": str(wait_s)}

    @property
    def body(self) -> dict[str, object]:
        """As OpenAI's clients read it."""
        return error_body(
            self._message, type=self._kind.type, code=self._kind.code, parameter=self._parameter
        )


def error_body(
    message: str, *, type: str, code: str | None = None, parameter: str | None = None
) -> dict[str, object]:
    """An error in OpenAI's shape."""
    return {"error": {"message": message, "type": type, "param": parameter, "code": code}}
