"""What the executor over OpenAI-compatible servers is made from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PositiveFloat, PositiveInt, model_validator

from build_engine.validation import Text, may_be_host
from runtime.endpoint.identity import Way
from runtime.spec import ExecutorSpec

MAX_IN_FLIGHT = 256
IDLE_S = 120.0
_API = re.compile(r"(/v1(/(models|completions|chat/completions))?/*)+$")


def base_url(text: str) -> str:
    """The base URL of a server, without `/v1` and what follows it. Raises ValueError."""
    if "@" in text or "?" in text:  # and is not repeated here
        raise ValueError(
            "a URL here has no name, key or query in it: the key is in the environment."
        )
    url = text.strip()
    try:
        parts = urlsplit(url)
        port = parts.port  # raises for one that is no number, or too large
    except ValueError as error:
        raise ValueError(f"`{text}` is no URL: {error}.") from None
    named = parts.hostname is not None and may_be_host(parts.hostname)
    if parts.scheme not in ("http", "https") or not named or port == 0:
        raise ValueError(f"`{text}` is no URL of a server; give one as http://localhost:8000.")
    if parts.fragment or not url.isprintable() or " " in url:
        raise ValueError(f"`{text}` has more than a server's address; give http://HOST:PORT.")
    path = _API.sub("", parts.path.rstrip("/"))
    return f"{parts.scheme}://{parts.netloc}{path}"


class EndpointSpec(ExecutorSpec):
    """Servers with one model behind one queue, each asked over HTTP. There is no key in it:
    `key_variable` is the environment variable that may hold one.
    """

    backend: Literal["endpoint"] = "endpoint"
    urls: tuple[Annotated[str, AfterValidator(base_url)], ...] = Field(min_length=1)
    model: Text
    """What the servers call it."""
    way: Way
    tokenizer: Path
    """The folder of the model's tokenizer."""
    key_variable: Text
    in_flight_each: PositiveInt = MAX_IN_FLIGHT
    """Requests that each server is sent at once, as long as it does not say that these are too
    many.
    """
    idle_s: PositiveFloat = IDLE_S
    """Seconds without a byte from a server that has requests, after which it is lost."""
    prefix_caching: bool | None = None
    """Whether the user says that it is on; None where they say nothing of it."""
    tolerate_failures: bool = False
    """Whether a server that is lost leaves its requests to the others."""

    @model_validator(mode="after")
    def _each_once(self) -> EndpointSpec:
        if len({*self.urls}) < len(self.urls):
            raise ValueError("a server is named twice.")
        return self

    @property
    def tolerates_failures(self) -> bool:
        """See `ExecutorSpec.tolerates_failures`."""
        return self.tolerate_failures

    @property
    def num_replicas(self) -> int:
        """See `ExecutorSpec.num_replicas`."""
        return len(self.urls)

    @property
    def is_served(self) -> bool:
        """See `ExecutorSpec.is_served`."""
        return True

    @property
    def idle_limit_s(self) -> float:
        """See `ExecutorSpec.idle_limit_s`."""
        return self.idle_s

    @property
    def hides_caching(self) -> bool:
        """See `ExecutorSpec.hides_caching`."""
        return self.prefix_caching is None

    @property
    def counts_by_tokenizer(self) -> bool:
        """See `ExecutorSpec.counts_by_tokenizer`."""
        return self.way.ids == "text"
