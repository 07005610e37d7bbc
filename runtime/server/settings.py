"""How a server is set up, and the key that its clients must have."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from build_engine.errors import UsageError
from build_engine.files import Unreadable, read_text
from build_engine.paths import user_path

KEY_VARIABLE = "ENGINEBENCH_API_KEY"
BACKLOG = 512
"""Connections that may wait to be accepted, and are all at once."""

_MOST_KEY_BYTES = 4096
_MOST_REQUESTS = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """What a server promises. Raises UsageError for a size that cannot be."""

    name: str
    """What clients call the model."""
    max_requests: int
    """Requests that are open at once, whether they are read, answered or wait for the engine."""
    max_body_bytes: int
    """Of one request."""
    key_digest: bytes | None = None
    """SHA-256 of the key; None lets everyone in."""
    trusts_templates: bool = False
    """Whether a request may bring a chat template."""
    started: int = field(default_factory=lambda: int(time.time()))
    """Seconds of the epoch."""

    def __post_init__(self) -> None:
        if not 1 <= self.max_requests <= _MOST_REQUESTS:
            raise UsageError(
                f"--max-requests is {self.max_requests}; give 1 to {_MOST_REQUESTS:,}."
            )
        if self.max_body_bytes < 1:
            raise UsageError(f"--max-body-bytes is {self.max_body_bytes}; give 1 or more.")


def read_key_digest(file: Path | None, environment: Mapping[str, str] = os.environ) -> bytes | None:
    """SHA-256 of the key in a file, else in the environment; None where there is neither. Raises
    UsageError for a file without one.
    """
    where, key = KEY_VARIABLE, environment.get(KEY_VARIABLE, "").strip()
    if file is not None:
        where = str(file)
        try:
            key = read_text(user_path(str(file)), _MOST_KEY_BYTES).strip()
        except FileNotFoundError:
            raise UsageError(
                f"--api-key-file {file} is not there; write the key into it."
            ) from None
        except Unreadable as problem:
            raise UsageError(f"--api-key-file {file} {problem}; write the key into it.") from None
    elif KEY_VARIABLE not in environment:
        return None
    if not key or not key.isascii() or not key.isprintable():
        raise UsageError(f"{where} holds no key; a key is a word of ASCII characters.")
    return hashlib.sha256(key.encode()).digest()
