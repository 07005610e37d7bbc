"""The key of a server: it is in the environment, and nowhere else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from build_engine.errors import UsageError

KEY_VARIABLE = "ENGINEBENCH_API_KEY"
_HIDDEN = "***"


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """What a server wants to see. `variable` is where it comes from; `secret` is None where there
    is none.
    """

    variable: str
    secret: str | None

    @property
    def headers(self) -> dict[str, str]:
        """As OpenAI's servers read it."""
        return {} if self.secret is None else {"authorization": f"Bearer {self.secret}"}

    def hidden(self, text: str) -> str:
        """`text` without the key: some servers repeat it in their errors."""
        return text if self.secret is None else text.replace(self.secret, _HIDDEN)


def read_key(variable: str, environment: Mapping[str, str] = os.environ) -> Key:
    """The key in an environment variable; only the usual one may be missing. Raises UsageError."""
    secret = environment.get(variable)
    if secret is None and variable == KEY_VARIABLE:
        return Key(variable, None)
    secret = (secret or "").strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageError(
            f"{variable} holds no key; put the server's key into that environment variable, a word "
            "of ASCII characters."
        )
    return Key(variable, secret)
