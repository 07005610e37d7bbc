"""Classes and enumerations made from `bindings_facts.json`: each takes what the facts name,
and nothing else.

They are stricter than the library where that would let a mistake pass: every argument is named,
no unknown attribute is set, and a number is of the very type that the facts give.
"""

from __future__ import annotations

import datetime
import enum
import json
import os
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

import numpy as np

from runtime.trtllm import facts

FACTS: Any = json.loads(facts._FILE.read_text(encoding="utf-8"))
Param: TypeAlias = "dict[str, Any]"
World: TypeAlias = "dict[str, Any]"

# in the library until it was removed (pull requests 12449, 12366): what is passed must not depend
ALIASES = {"request_type": "type"}
NEVER = ("onboard_blocks", "normalize_log_probs")


class Strict:
    """An object with the named arguments and properties of one class of the library."""

    PARAMS: ClassVar[list[Param]] = []
    EXTRA: ClassVar[dict[str, str]] = {}
    """Properties that no argument sets, each with its value at first as the facts write it."""
    WRITE: frozenset[str] = frozenset()
    COPIED: frozenset[str] = frozenset()
    """Properties that come back as a copy, so that changing what was read changes nothing."""
    NONE: frozenset[str] = frozenset()
    """Properties that may be set to None."""
    TYPES: ClassVar[dict[str, str]] = {}
    WORLD: ClassVar[World] = {}
    _values: dict[str, Any]

    def __init__(self, *args: object, **kwargs: object) -> None:
        object.__setattr__(self, "_values", self._bound(args, kwargs))
        check = CHECKS.get(type(self).__name__)
        if check is not None and (broken := check(self)):
            raise RuntimeError(failed(broken))

    def _read(self, name: str) -> Any:
        value = self._values[ALIASES.get(name, name)]
        copied = name in self.COPIED and isinstance(value, Strict)
        return _copy(value) if copied else value

    def __setattr__(self, name: str, value: object) -> None:
        kind = type(self).__name__
        if name not in self.WRITE:
            raise AttributeError(f"`{name}` of {kind} cannot be set")
        if value is None and name not in self.NONE:
            raise TypeError(f"`{name}` of {kind} takes no None: incompatible function arguments")
        if not fits(value, self.TYPES[name], self.WORLD):
            raise TypeError(f"`{name}` of {kind} takes {self.TYPES[name]}, not {value!r}")
        self._values[ALIASES.get(name, name)] = value

    @classmethod
    def _bound(cls, args: tuple[object, ...], kwargs: dict[str, object]) -> dict[str, Any]:
        kind = cls.__name__
        names = [param["name"] for param in cls.PARAMS]
        if args:
            raise TypeError(f"{kind}: name every argument; positions move between versions")
        if unknown := [name for name in kwargs if name not in names or name in NEVER]:
            raise TypeError(
                f"{kind}: incompatible function arguments: {unknown}; supported: {names}"
            )
        values = {name: default(text, cls.WORLD) for name, text in cls.EXTRA.items()}
        for param in cls.PARAMS:
            name = param["name"]
            if name not in kwargs and param["default"] == "<required>":
                raise TypeError(f"{kind}: incompatible function arguments: `{name}` is missing")
            value = kwargs.get(name, Strict)
            if value is Strict:
                value = default(param["default"], cls.WORLD)
            elif not fits(value, param["type"], cls.WORLD):
                raise TypeError(f"{kind}: `{name}` takes {param['type']}, not {value!r}")
            silent = param["default"] == "None (False)" and value is None
            values[name] = False if silent else value
        return values


def _copy(value: Strict) -> Strict:
    made = object.__new__(type(value))
    object.__setattr__(made, "_values", dict(value._values))
    return made


def default(text: str, world: World) -> object:
    """A default as the facts write it."""
    text = "False" if text == "None (False)" else text.split(" (")[0]
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text.endswith("()"):
        return world[text[:-2]]()
    if text.partition(".")[0] in world:
        kind, _, member = text.partition(".")
        return getattr(world[kind], member)
    return float(text) if "." in text else int(text)


_CONSTANTS = {"None": None, "False": False, "True": True, '""': ""}


def fits(value: object, text: str, world: World) -> bool:
    """Whether a value is of the type that the facts write so."""
    text = text.split(" (")[0].split(",")[0].split(";")[0]
    if text.startswith("Optional["):
        return value is None or fits(value, text[9:-1], world)
    if text.startswith("list["):
        if isinstance(value, np.ndarray):
            return text == "list[int]" and value.ndim == 1 and value.dtype == np.int32
        return isinstance(value, list) and all(fits(item, text[5:-1], world) for item in value)
    if text in _PLAIN:
        return _PLAIN[text](value)
    return text in world and isinstance(value, world[text])


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_PLAIN: dict[str, Callable[[object], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "float": lambda value: _is_int(value) or isinstance(value, float),
    "str": lambda value: isinstance(value, str),
    "bytes": lambda value: isinstance(value, bytes),
    "os.PathLike": lambda value: isinstance(value, str | os.PathLike),
    "datetime.timedelta": lambda value: isinstance(value, datetime.timedelta),
}


def failed(assertion: str) -> str:
    """An error of the library: the first line says what happened, a C++ stack follows."""
    return (
        f"[TensorRT-LLM][ERROR] Assertion failed: {assertion} (/src/tensorrt_llm/double.cpp:1)\n"
        "1       0x7f0000000001 /usr/lib/libtensorrt_llm.so(+0x1) [0x7f0000000001]\n"
        "2       0x7f0000000002 clone + 68"
    )


def _sampling(config: Any) -> str:
    rules = {
        "beamWidth > 0": config.beam_width > 0,
        "topK >= 0": config.top_k is None or config.top_k >= 0,
        "0 < topP <= 1": config.top_p is None or 0 < config.top_p <= 1,
        "temperature >= 0": config.temperature is None or config.temperature >= 0,
        "minTokens >= 0": config.min_tokens is None or config.min_tokens >= 0,
        "0 <= minP <= 1": config.min_p is None or 0 <= config.min_p <= 1,
    }
    return next((rule for rule, holds in rules.items() if not holds), "")


def _request(request: Any) -> str:
    if len(request.input_token_ids) == 0:
        return "!inputTokenIds.empty()"
    return "" if request.max_tokens > 0 else "mMaxNewTokens > 0"


def _cache(config: Any) -> str:
    fraction = config.free_gpu_memory_fraction
    return "" if fraction is None or 0 < fraction < 1 else "0 < freeGpuMemoryFraction < 1"


CHECKS: dict[str, Callable[[Strict], str]] = {
    "SamplingConfig": _sampling,
    "Request": _request,
    "KvCacheConfig": _cache,
}


def made_from(facts: Any) -> World:
    """Every enumeration and class of the facts by name."""
    world: World = {}
    for name, fact in facts["enums"].items():
        members = {member: number for number, member in enumerate(fact["members"])}
        world[name] = enum.Enum(name, members)
    for name, fact in facts["classes"].items():
        if "params" in fact or fact.get("constructors") == [[]]:
            world[name] = _class(name, fact, world)
        elif "static_factories" in fact:
            world[name] = type(name, (), {"name": "", **dict.fromkeys(fact["static_factories"])})
    for name, fact in facts["enums"].items():
        if (owner := fact.get("note", "").rpartition("nested in ")[2]) in world:
            setattr(world[owner], name, world.pop(name))
    return world


def _class(name: str, fact: Any, world: World) -> type[Strict]:
    params: list[Param] = fact.get("params", [])
    types = {param["name"]: param["type"] for param in params}
    properties = fact["properties"]
    if isinstance(properties, str):
        hidden = {"runtime_defaults"} if "but runtime_defaults" in properties else set()
        read = set(types) - hidden
        write = set() if "read-only" in properties else read
    else:
        read = {each["name"] for each in properties}
        write = {each["name"] for each in properties if each.get("access", "rw") == "rw"}
        types = {each["name"]: each["type"] for each in properties} | types
    named = {param["name"] for param in params}
    extra = {each: _empty(types[each]) for each in read if ALIASES.get(each, each) not in named}
    types |= {alias: types[each] for alias, each in ALIASES.items() if each in types}
    accept = fact.get("setter_none", {}).get("accept", [])
    getters = fact.get("getters", {})
    copied = getters["by_copy"] if isinstance(getters, dict) and getters else []
    if isinstance(getters, str):
        copied = ["sampling_config", "output_config"]

    def init(self: Strict, *args: object, **kwargs: object) -> None:
        Strict.__init__(self, *args, **kwargs)

    init.__doc__ = documented(params)
    return type(
        name,
        (Strict,),
        {
            **{each: _property(each) for each in read},
            **dict.fromkeys(fact.get("methods", {}), unused),
            "__init__": init,
            "PARAMS": params,
            "EXTRA": extra,
            "WRITE": frozenset(write),
            "COPIED": frozenset(copied),
            "NONE": frozenset(accept),
            "TYPES": types,
            "WORLD": world,
        },
    )


def _property(name: str) -> property:
    return property(lambda self: self._read(name))


def unused(*_: object) -> None:
    """A method that is there, and that nothing of ours calls."""
    raise AssertionError("nothing of ours calls this")


def documented(params: list[Param]) -> str:
    """The arguments, as nanobind writes them into the documentation of a constructor."""
    written = ["self"]
    for param in params:
        if param.get("kw_only") and "*" not in written:
            written.append("*")
        value = "" if param["default"] == "<required>" else f" = {param['default']}"
        written.append(f"{param['name']}: {param['type']}{value}")
    return f"__init__({', '.join(written)}) -> None"


def _empty(text: str) -> str:
    """The value at first of a property of this type; some say it: "bool, False"."""
    kind, _, value = text.partition(", ")
    if value in ("False", "0"):
        return value
    return {"int": "0", "float": "0.0", "str": '""', "bool": "False"}.get(kind, "None")
