"""The facts that we build on against the bindings that are installed: every difference in words.

What a class takes is read from the signature that nanobind writes into its constructor's
documentation; where there is none, that is said as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from runtime.trtllm.facts import REQUIRED, Class, Enumeration, Parameter, bindings_facts

_SIGNATURE = re.compile(r"__init__\(self(?:, )?")
_OPEN, _CLOSE = "([{", ")]}"


def differing_defaults(bindings: Any, fields: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Each default that is not as the facts say, of these fields by class. Needs no GPU."""
    found: list[str] = []
    for name, names in fields.items():
        fact = bindings_facts().classes[name]
        params = [param for param in fact.params if param.name in names]
        found += _differing_defaults(bindings, name, params)
    return found


def differences(bindings: Any) -> list[str]:
    """Every difference between the facts and the installed bindings. Needs no GPU."""
    facts = bindings_facts()
    found: list[str] = []
    for name, enumeration in facts.enums.items():
        found += _differing_members(bindings, name, enumeration)
    for name, fact in facts.classes.items():
        if fact.module is not None:
            continue
        kind = getattr(bindings, name, None)
        if kind is None:
            found.append(f"{name} is missing")
            continue
        found += _differing_arguments(kind, name, fact)
        known = [*fact.property_names, *(each for each in fact.methods if "*" not in each)]
        found += [f"{name}.{each} is missing" for each in known if not hasattr(kind, each)]
        if fact.params and all(param.default != REQUIRED for param in fact.params):
            shown = [each for each in fact.params if each.name in fact.property_names]
            found += _differing_defaults(bindings, name, shown)
    return found


def _differing_members(bindings: Any, name: str, fact: Enumeration) -> Iterator[str]:
    nested = fact.note.partition("nested in ")[2].split(".")[0].split(";")[0].strip()
    owner = getattr(bindings, nested, bindings) if nested else bindings
    kind = getattr(owner, name, None)
    if kind is None:
        yield f"{name} is missing"
        return
    here = set(kind.__members__)
    for each in sorted(here ^ set(fact.members)):
        yield f"{name}.{each} is {'new' if each in here else 'missing'}"


def _differing_arguments(kind: Any, name: str, fact: Class) -> Iterator[str]:
    known = list(fact.constructors) or ([fact.params] if fact.params else [])
    if not known:
        return
    here = signatures(kind.__init__.__doc__ or "")
    if not here:
        yield f"{name} does not tell its arguments"
        return
    for params in known:
        told = [(param.name, param.kw_only) for param in params]
        if told in here:
            continue
        nearest = max(here, key=lambda each: len(set(each) & set(told)))
        yield f"{name}({_written(told)}) is {name}({_written(nearest)})"


def signatures(text: str) -> list[list[tuple[str, bool]]]:
    """(name, whether it must be named) of each argument, of each constructor in a documentation."""
    found = []
    for match in _SIGNATURE.finditer(text):
        named = False
        arguments = []
        for part in _parts(text[match.end() :]):
            if part == "*":
                named = True
            elif part and part != "/":
                arguments.append((re.split(r"[:=]", part)[0].strip(), named))
        found.append(arguments)
    return found


def _parts(text: str) -> Iterator[str]:
    """What is between the commas, up to the bracket that closes the arguments."""
    depth, start = 0, 0
    for index, letter in enumerate(text):
        if letter in _OPEN:
            depth += 1
        elif letter in _CLOSE:
            depth -= 1
        if depth < 0 or (letter == "," and depth == 0):
            yield text[start:index].strip()
            start = index + 1
        if depth < 0:
            return


def _written(arguments: list[tuple[str, bool]]) -> str:
    names: list[str] = []
    for name, named in arguments:
        if named and "*" not in names:
            names.append("*")
        names.append(name)
    return ", ".join(names)


def _differing_defaults(bindings: Any, name: str, params: list[Parameter]) -> Iterator[str]:
    try:
        made = getattr(bindings, name)()
    except (AttributeError, TypeError, RuntimeError) as error:
        yield f"{name}() cannot be made ({type(error).__name__})"
        return
    for param in params:
        expected, value = param.default_in(bindings), getattr(made, param.name, "missing")
        if expected is not ... and value != expected:
            yield f"{name}.{param.name} is {value}, not {expected}"
