"""What was read of `trtllm-build` in the source and documents of TensorRT-LLM: its flags, the
fields of its configuration, and what it changes by itself.

The library is not needed to know them. Each fact names its source and carries a mark of certainty:
V (read in the pinned version), V~ (read in a neighbouring version, which the source names), I
(inferred), ? (unknown). `enginebench doctor --contract` holds them against the installed library.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from build_engine.errors import EnvironmentFault
from build_engine.files import read_json
from build_engine.validation import Frozen, validated

Scalar: TypeAlias = str | int | float | bool | None
Mark: TypeAlias = Literal["V", "V~", "I", "?"]

_FILE = Path(__file__).with_name("build_facts.json")


class Fact(Frozen):
    """Something known, and how: `source` is a key of `BuildToolFacts.sources`."""

    source: str
    mark: Mark


class Flag(Fact):
    """A flag of `trtllm-build`. A `switch` takes no value, `texts` takes several; `default` is None
    too where the parsed arguments lack the flag.
    """

    name: str
    kind: Literal["text", "texts", "number", "switch"]
    choices: tuple[str, ...] | None
    default: Scalar
    aliases: tuple[str, ...]
    group: Literal["main", "logits", "lora", "speculative", "plugin"]
    note: str


class ConfigField(Fact):
    """A field of BuildConfig or QuantConfig."""

    name: str
    type: str
    default: Scalar
    note: str


class PluginField(ConfigField):
    """A field of PluginConfig; `cli` is whether a flag sets it."""

    choices: tuple[str | None, ...] | None
    cli: bool


class BuilderRule(Fact):
    """What the builder does by itself: `then` happens `when`, and its log says `message`, if
    anything.
    """

    name: str
    when: str
    then: str
    message: str


class ErrorText(Fact):
    """A part of what the library says when it fails, and when it says so."""

    text: str
    when: str


class BuildToolFacts(Frozen):
    """All of them, for one `version` of TensorRT-LLM."""

    version: str
    marks: dict[str, str]
    sources: dict[str, str]
    flags: tuple[Flag, ...]
    plugin_config: tuple[PluginField, ...]
    build_config: tuple[ConfigField, ...]
    rules: tuple[BuilderRule, ...]
    errors: tuple[ErrorText, ...]
    quant_algos: tuple[str, ...]
    quant_config: tuple[ConfigField, ...]
    config_json_keys: tuple[str, ...]

    def flag(self, name: str) -> Flag:
        """The flag of this name, with its dashes. Raises KeyError."""
        return {flag.name: flag for flag in self.flags}[name]

    def rule(self, name: str) -> BuilderRule:
        """The rule of this name. Raises KeyError."""
        return {rule.name: rule for rule in self.rules}[name]


@cache
def build_tool_facts() -> BuildToolFacts:
    """The facts, read once."""
    content = read_json(_FILE, EnvironmentFault, "install enginebench again")
    return validated(BuildToolFacts, content)
