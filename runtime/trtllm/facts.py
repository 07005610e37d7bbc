"""What was read of TensorRT-LLM's executor bindings in its source: classes, arguments, defaults,
enumerations, behaviour and texts.

The library is not needed to know them. Each fact names its source and carries a mark of certainty:
V (read in the line of the pinned version), V~ (read beside it), I (inferred), ? (unknown).
`runtime/trtllm/contract.py` holds them against the installed library.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from build_engine.errors import EnvironmentFault
from build_engine.files import read_json
from build_engine.validation import validated

REQUIRED = "<required>"
_FILE = Path(__file__).with_name("bindings_facts.json")


class _Fact(BaseModel):
    """What the file says beyond this is for people, and for the doubles of the tests."""

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Parameter(_Fact):
    """An argument of a constructor; `default` is Python text, `<required>` where there is none."""

    name: str
    type: str
    default: str
    kw_only: bool = False

    def default_in(self, bindings: Any) -> object:
        """What a property of that name then has, if that is a plain value or a member of an
        enumeration of `bindings`; `...` for an object.
        """
        text = self.default.removeprefix("None (").removesuffix(")")  # "None (False)"
        constants: dict[str, object] = {"None": None, "True": True, "False": False, '""': ""}
        if text in constants:
            return constants[text]
        kind, _, member = text.partition(".")
        if kind.isdigit():
            return float(text)
        return getattr(getattr(bindings, kind, None), member, ...) if member else ...


class Property(_Fact):
    """A property of an object; `access` is rw or ro."""

    name: str
    access: str = "rw"


class Class(_Fact):
    """A class. `properties` is a sentence where they are those of the constructor."""

    params: tuple[Parameter, ...] = ()
    properties: str | tuple[Property, ...] = ()
    methods: dict[str, object] = {}
    constructors: tuple[tuple[Parameter, ...], ...] = ()
    no_property: tuple[str, ...] = ()
    module: str | None = None
    """Where it is, if not among the bindings of the executor."""

    @property
    def property_names(self) -> tuple[str, ...]:
        """The names of its properties."""
        if not isinstance(self.properties, str):
            return tuple(each.name for each in self.properties)
        hidden = {name for name in ("runtime_defaults",) if f"but {name}" in self.properties}
        return tuple(each.name for each in self.params if each.name not in hidden)


class Enumeration(_Fact):
    """An enumeration; a `note` may say that it is nested in a class."""

    members: dict[str, int | None]
    note: str = ""


class BindingsFacts(_Fact):
    """All that a program looks at."""

    module: str
    classes: dict[str, Class]
    enums: dict[str, Enumeration]


@cache
def bindings_facts() -> BindingsFacts:
    """The facts, read once."""
    content = read_json(_FILE, EnvironmentFault, "install enginebench again")
    return validated(BindingsFacts, content)
