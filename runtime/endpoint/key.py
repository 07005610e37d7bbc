"""The key of a server: it is in the environment, and nowhere else."""

from __future__ import annotations

import html.entities
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from build_engine.errors import UsageError

KEY_VARIABLE = "ENGINEBENCH_API_KEY"
_HIDDEN = "***"
_USUAL_NAME = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")


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
        """`text` without the key, as it is or as JSON, a URL or HTML write it: some servers repeat
        it in their errors.
        """
        return text if self.secret is None else _pattern(self.secret).sub(_HIDDEN, text)


@lru_cache(maxsize=4)
def _pattern(secret: str) -> re.Pattern[str]:
    return re.compile("".join(_ways_to_write(each) for each in secret))


def _ways_to_write(char: str) -> str:
    """A pattern of what stands for a character in a text that a program has quoted, once or more
    often.
    """
    code = ord(char)
    plain, by_number = rf"\\*{re.escape(char)}", rf"\\+u00(?i:{code:02x})"
    if char.isalnum():
        return f"(?:{plain}|{by_number})"
    names = [
        name[:-1] for name, text in html.entities.html5.items() if text == char and ";" in name
    ]
    entity = "|".join((f"#0*{code}", f"#x0*{code:x}", *map(re.escape, names)))
    return f"(?:{plain}|{by_number}|(?i:%(?:25)*{code:02x}|&(?:amp;)*(?:{entity});))"


def read_key(variable: str, environment: Mapping[str, str] = os.environ) -> Key:
    """The key in an environment variable; only the usual one may be missing. Raises UsageError."""
    secret = environment.get(variable)
    if secret is None and variable == KEY_VARIABLE:
        return Key(variable, None)
    if secret is None and not _USUAL_NAME.fullmatch(variable):
        raise UsageError(
            f"--api-key-env takes the name of an environment variable, as {KEY_VARIABLE}, and none "
            "has the name that was given. It is not repeated here: it may be the key."
        )
    secret = (secret or "").strip()
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise UsageError(
            f"{variable} holds no key; put the server's key into that environment variable, a word "
            "of ASCII characters."
        )
    return Key(variable, secret)
