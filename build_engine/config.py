"""Configuration files: strict YAML beside the packages, turned into frozen models.

Nothing is guessed: an unknown or repeated key, a value of another type and broken YAML each raise
ConfigError, which names the file, the dotted key (or the line), and what would be valid.
"""

from __future__ import annotations

import difflib
import json
import re
import types
from collections.abc import Hashable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from pydantic_core import ErrorDetails

import configs
from build_engine.errors import ConfigError, UnknownName

KINDS = {"targets": "target", "recipes": "recipe", "workloads": "workload", "rounds": "round"}

# A name becomes a folder of the engine store and of a run.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$")]
Text = Annotated[str, StringConstraints(min_length=1)]


class Frozen(BaseModel):
    """A configuration that cannot change after it was checked, and that has no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


M = TypeVar("M", bound=Frozen)


def config_names(kind: str) -> list[str]:
    """Names of the shipped configurations of `kind`, one of `KINDS`."""
    return sorted(path.stem for path in _folder(kind).glob("*.yaml"))


def load_config(kind: str, name_or_path: str, model: type[M]) -> M:
    """Read a shipped configuration by name, or any file by a path that ends in .yaml or .yml.

    Raises UnknownName for a name that is not shipped, ConfigError for a file that cannot be read
    or does not fit `model`.
    """
    if name_or_path.endswith((".yaml", ".yml")):
        path = Path(name_or_path)
    elif name_or_path in config_names(kind):
        path = _folder(kind) / f"{name_or_path}.yaml"
    else:
        raise UnknownName(KINDS[kind], name_or_path, config_names(kind))
    data = _parse(_read(path), str(path))
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: the file must hold `key: value` lines.")
    return _validate(model, data, str(path))


def apply_overrides(model: M, assignments: Sequence[str]) -> M:
    """A copy of `model` with `a.b=c` assignments applied; each value is parsed as YAML.

    Lists are replaced as a whole. Raises ConfigError, as a file with the same content would.
    """
    data = model.model_dump(mode="json")
    for assignment in assignments:
        _assign(data, assignment)
    return _validate(type(model), data, "--set")


def _folder(kind: str) -> Path:
    assert kind in KINDS, kind
    return Path(configs.__file__).parent / kind


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: the file is not UTF-8 text; save it as UTF-8.") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); check the path.") from None


class _StrictLoader(yaml.SafeLoader):
    """YAML 1.1 without Python objects, in which a key may appear only once in a mapping."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key `{key.value}` appears twice; keep one"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


def _parse(text: str, origin: str) -> object:
    try:
        return yaml.load(text, Loader=_StrictLoader)  # a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{origin}{line}: {error.problem or 'broken YAML'}.") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: for example the date 2026-13-01
        reason = str(error).splitlines()[0]
        raise ConfigError(f"{origin}: a value is not valid YAML ({reason}); quote it.") from None


def _assign(data: dict[str, Any], assignment: str) -> None:
    key, equals, text = assignment.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"--set {assignment}: write it as key=value, or section.key=value.")
    *path, last = key.split(".")
    section = data
    for depth, part in enumerate(path, start=1):
        if section.get(part) is None:
            section[part] = {}  # an empty optional section, or a key that validation will name
        if not isinstance(section[part], dict):
            dotted = ".".join(path[:depth])
            raise ConfigError(f"--set {assignment}: `{dotted}` is one value; set it as a whole.")
        section = section[part]
    section[last] = _parse(text, f"--set {assignment}")


def _validate(model: type[M], data: dict[str, Any], origin: str) -> M:
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        raise ConfigError(
            f"{origin}: values must be text, numbers, true, false, null, lists or mappings; "
            "quote dates."
        ) from None
    try:
        # JSON in strict mode: no text for a number and no 1 for true, yet lists become tuples.
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = error.errors(include_url=False)
    # A misspelt key is reported before the key that is missing because of it.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    more = f" ({len(problems) - 1} more after this one.)" if len(problems) > 1 else ""
    raise ConfigError(f"{origin}: {_sentence(model, problems[0])}{more}")


def _sentence(model: type[BaseModel], problem: ErrorDetails) -> str:
    location = [part for part in problem["loc"] if part != "[key]"]
    dotted = f"`{'.'.join(str(part) for part in location)}`"
    match problem["type"]:
        case "extra_forbidden":
            valid = sorted(_keys_at(model, location[:-1]))
            hint = _did_you_mean(str(location[-1]), valid)
            return f"{dotted} is not a key.{hint} Valid: {', '.join(valid)}."
        case "missing":
            return f"{dotted} is missing; add it."
        case "value_error":
            message = problem["msg"].removeprefix("Value error, ")
            return f"{dotted}: {message}" if location else message
        case "literal_error":
            valid = re.findall(r"'([^']+)'", problem["ctx"]["expected"])
            hint = _did_you_mean(str(problem["input"]), valid)
            return f"{dotted} is not one of {', '.join(valid)}: {_shown(problem)}.{hint}"
        case _:
            expected = problem["msg"].partition(" should ")[2] or problem["msg"]
            return f"{dotted} must {expected}, not {_shown(problem)}."


def _shown(problem: ErrorDetails) -> str:
    value = problem["input"]
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split())
    return f"`{text if len(text) <= 60 else text[:57] + '...'}`"


def _did_you_mean(name: str, valid: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(valid), n=1, cutoff=0.5)
    return f" Did you mean `{near[0]}`?" if near else ""


def _keys_at(annotation: Any, location: Sequence[str | int]) -> list[str]:
    """The keys of the model that lies at `location` below `annotation`; [] when there is none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not location:
            return list(annotation.model_fields)
        field = annotation.model_fields.get(str(location[0]))
        return _keys_at(field.annotation, location[1:]) if field else []
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        options = (_keys_at(argument, location) for argument in arguments)
        return next((keys for keys in options if keys), [])
    if origin is dict and location:
        return _keys_at(arguments[1], location[1:])
    return []
