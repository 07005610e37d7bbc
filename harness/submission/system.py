"""The description of the system under test: what the run detected, and what only a person knows.

A `system.yaml` holds what a person fills in (the output of `enginebench doctor --system-json` is
one, too); it wins over what was detected, unless it is of another machine. A field that nobody
filled, and a placeholder that was left, are refused by name: the checker takes any text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from build_engine.backend import backend
from build_engine.errors import ConfigError, did_you_mean
from build_engine.files import read_yaml
from harness.machine.system import PLACEHOLDER
from harness.rules.rounds import Round
from harness.submission.contradictions import contradictions

if TYPE_CHECKING:
    from harness.runs.record import RunRecord

_PLACEHOLDERS = re.compile(
    r"\bfill[ _-]?(me|in|this)\b|^\s*fill\s*$|\btodo\b|^\s*to do\b|\btbd\b|\bto be determined\b"
    r"|\bfixme\b|\bxxx+\b|\bchange ?me\b|\bplaceholder\b|^\s*<.*>\s*$|^\W+$",
    re.IGNORECASE,
)
_WHOLE_NUMBERS = ("number_of_nodes", "accelerators_per_node")  # the checker multiplies them
_SYSTEM_TYPES = ("datacenter", "edge", "datacenter,edge", "edge,datacenter")


def detected(run: RunRecord) -> dict[str, str]:
    """The fields that a run's record gives: it describes the machine that it ran on.

    The framework is the one that executed the engine, whatever else is installed there.
    """
    if run.served is not None:  # the machine of the run is that of the servers' client
        return {"framework": run.served.engine}
    fields: dict[str, str] = {
        key: value
        for key, value in run.system.fields.items()
        if value and not value.startswith(PLACEHOLDER)
    }
    if run.engine is not None:
        ran = run.engine.identity.backend
        framework = backend(ran.name)
        version = ran.libraries[framework.framework_library]
        fields["framework"] = f"{framework.framework} {version}"
    return fields


def describe(
    file: Path, run: RunRecord, chosen: Round, submitter: str, division: str
) -> dict[str, str]:
    """The system JSON of a round. Raises ConfigError for anything that is missing or not true."""
    given = _read(file, chosen)
    fixed = {"submitter": submitter, "division": division}
    for key, value in fixed.items():
        said = given.get(key, value)
        if not said.startswith(PLACEHOLDER) and said.lower() != value.lower():
            raise ConfigError(f"{file}: {key} is {given[key]}, the command says {value}.")
    filled = {key: value for key, value in given.items() if not value.startswith(PLACEHOLDER)}
    found = detected(run)
    on_gpu = run.engine is not None and run.engine.identity.target.kind == "gpu"
    wrong = next(contradictions(filled, found, on_gpu=on_gpu), None)
    if wrong is not None:
        raise ConfigError(
            f"{file}: {wrong} is {filled[wrong]}, and the run found {found[wrong]}; describe what "
            f"ran, or leave {wrong} out to take what the run found."
        )
    known = found | {key: value for key, value in filled.items() if value} | fixed
    _check(file, known, run.system.fields, chosen)
    return {key: known.get(key, "") for key in [*chosen.system_fields, *known]}


def field_problems(fields: Mapping[str, Any], chosen: Round) -> list[str]:
    """What the fields of a system description lack, one sentence each."""
    found = [f"field {key} is missing." for key in chosen.system_fields if key not in fields]
    for key, needed in chosen.system_fields.items():
        value = str(fields.get(key, "")).strip()
        if key in fields and needed and (not value or not fields[key]):
            found.append(f"field {key} is empty.")
        if _PLACEHOLDERS.search(value):
            found.append(f"field {key} still holds a placeholder ({value}).")
    for key in _WHOLE_NUMBERS:
        if fields.get(key) and not re.fullmatch(r"\d+", str(fields[key])):
            found.append(f"field {key} must be a whole number, not {fields[key]}.")
    if fields.get("status") and str(fields["status"]).lower() not in chosen.statuses:
        found.append(f"field status must be one of {', '.join(chosen.statuses)}.")
    if fields.get("system_type") and fields["system_type"] not in _SYSTEM_TYPES:
        found.append(f"field system_type must be one of {'; '.join(_SYSTEM_TYPES[:3])}.")
    return found


def _check(file: Path, known: Mapping[str, str], asked: Mapping[str, str], chosen: Round) -> None:
    missing = [key for key, needed in chosen.system_fields.items() if needed and not known.get(key)]
    left = [key for key, value in known.items() if _PLACEHOLDERS.search(value)]
    todo = [*missing, *(key for key in left if key not in missing)]
    if not re.search(r"[A-Za-z0-9]", known.get("system_name", "x")):
        raise ConfigError(f"{file}: system_name needs a letter or a digit: it names a folder.")
    if todo:
        wanted = "; ".join(f"{key}{_hint(asked.get(key, ''))}" for key in todo)
        raise ConfigError(f"{file}: {len(todo)} fields are for you to fill in: {wanted}.")
    whole = {key: known.get(key, "") for key in [*chosen.system_fields, *known]}
    found = field_problems(whole, chosen)
    if found:
        raise ConfigError(f"{file}: {' '.join(found)}")


def _read(file: Path, chosen: Round) -> dict[str, str]:
    begin = "begin one with `enginebench doctor --system-json`"
    try:
        content = read_yaml(file, ConfigError, f"fix it, or {begin}")
    except FileNotFoundError:
        raise ConfigError(f"{file} is not there; {begin}.") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file} must hold `field: value` lines.")
    for key, value in content.items():
        if key not in chosen.system_fields and key != "is_network":
            hint = did_you_mean(str(key), chosen.system_fields)
            raise ConfigError(f"{file}: {key} is no field of a system description.{hint}")
        if isinstance(value, dict | list):
            raise ConfigError(f"{file}: {key} must be one value.")
    # the checker takes any text there for a yes, and then asks for the fields of that division
    if str(content.pop("is_network", None)).lower() not in ("none", "", "false", "no"):
        raise ConfigError(f"{file}: is_network: the network division is not supported.")
    return {str(key): str(value).strip() for key, value in content.items() if value is not None}


def _hint(placeholder: str) -> str:
    """What the detection says should stand there."""
    found = placeholder.startswith(PLACEHOLDER)
    return f" ({placeholder.removeprefix(PLACEHOLDER)})" if found else ""
