"""What a user declares of an engine that only they know: `name=value`, or a small YAML file."""

from __future__ import annotations

from collections.abc import Sequence

from build_engine.errors import ConfigError, UnknownName, UsageError
from build_engine.files import read_yaml
from build_engine.paths import user_path

DECLARABLE = {
    "engine": "the server's software and its version, as in `vLLM 0.11`",
    "checkpoint": "whose weights it serves",
    "precision": "data types of the weights, as MLPerf's measurements name them",
    "transformations": "what was done to the weights",
    "kv_cache": "data type of the KV cache",
    "prefix_caching": "on or off",
    "hardware": "what it runs on",
    "options": "how it was started",
}
NEEDED = ("engine", "checkpoint", "precision", "transformations", "hardware", "prefix_caching")
"""What a submission says of an engine."""
_FILES = (".yaml", ".yml")
_SWITCH = {"on": True, "off": False}


def declared(words: Sequence[str]) -> dict[str, str]:
    """What `words` declare, a later one over an earlier one. Raises UsageErrors."""
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            found[_known(name.strip())] = value.strip()
        elif word.endswith(_FILES):
            found |= _of_file(word)
        else:
            raise UsageError(
                f"--declare {word} declares nothing; give NAME=VALUE or a .yaml file. Names: "
                f"{', '.join(DECLARABLE)}."
            )
    for name, value in found.items():
        if not value or not value.isprintable():
            raise UsageError(f"--declare {name} has no value; it is {DECLARABLE[name]}.")
    if found.get("prefix_caching", "off") not in _SWITCH:
        raise UsageError(f"--declare prefix_caching is {found['prefix_caching']}; give on or off.")
    return found


def caches_prefixes(found: dict[str, str]) -> bool | None:
    """Whether prefix caching is declared to be on; None where nobody says."""
    return _SWITCH[found["prefix_caching"]] if "prefix_caching" in found else None


def missing(found: dict[str, str]) -> list[str]:
    """What a submission needs and nobody declared."""
    return [name for name in NEEDED if name not in found]


def _known(name: str) -> str:
    if name not in DECLARABLE:
        raise UnknownName("declaration", name, DECLARABLE)
    return name


def _of_file(word: str) -> dict[str, str]:
    try:
        content = read_yaml(user_path(word), ConfigError, "write `name: value` lines")
    except FileNotFoundError:
        raise UsageError(f"--declare {word} is not there; write `name: value` lines.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{word} must hold `name: value` lines.")
    return {_known(str(name)): _text(word, name, value) for name, value in content.items()}


def _text(word: str, name: object, value: object) -> str:
    """A value of a file; "" where there is none. Raises ConfigError."""
    if isinstance(value, bool):  # as YAML reads `on` and `off`
        return "on" if value else "off"
    if not isinstance(value, str | None):
        raise ConfigError(f"{word}: {name} is no text; put its value into quotes.")
    return value or ""
