"""Data from outside against a frozen model: what does not fit is one sentence that names the field.

Nothing is guessed: an unknown key and a value of another type are each named by their dotted path,
with what would be valid.
"""

from __future__ import annotations

import json
import re
import types
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
)
from pydantic_core import ErrorDetails

from build_engine.errors import UnknownName, did_you_mean

_FILE_ENDINGS = (".yaml", ".yml")


def _names_no_file(name: str) -> str:
    if name.endswith(_FILE_ENDINGS):
        raise ValueError(f"a name does not end in {' or '.join(_FILE_ENDINGS)}, as a file does.")
    return name


_MOST_CHARS = StringConstraints(max_length=64)
# A name becomes a folder of the engine store, of a run and of a submission.
Name = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]*$"),
    _MOST_CHARS,
    AfterValidator(_names_no_file),
]
# The name that others gave: a test of MLPerf's, a model in LoadGen's user.conf.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$"), _MOST_CHARS]
Text = Annotated[str, StringConstraints(min_length=1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Frozen(BaseModel):
    """A value that cannot change after it was checked, and that has no unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


class Grown(Frozen):
    """One that got the fields `LATER` when others of it had been written: they are written only
    where they are not what they usually are, so that older ones, and their seals, stay as they are.
    """

    LATER: ClassVar[tuple[str, ...]]

    @model_serializer(mode="wrap")
    def _as_before(self, serialize: SerializerFunctionWrapHandler) -> object:
        written = serialize(self)
        for name in self.LATER:
            if getattr(self, name) == type(self).model_fields[name].default:
                written.pop(name, None)
        return written


M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=str)


class Invalid(ValueError):
    """Why data does not fit its model: a sentence that names the field."""


def validated(model: type[M], data: Any, *, missing: str = "is missing") -> M:
    """`data` (plain JSON values) as a `model`. Raises Invalid, which says `missing` of a field that
    is not there.
    """
    try:
        text = json.dumps(data)
    except (TypeError, ValueError):
        raise Invalid(
            "values must be text, numbers, true, false, null, lists or mappings; quote dates."
        ) from None
    try:
        # JSON in strict mode: no text for a number and no 1 for true, yet lists become tuples.
        return model.model_validate_json(text, strict=True)
    except ValidationError as error:
        told = problem_of(model, error, missing=missing)
    raise Invalid(told)


def problem_of(
    model: type[BaseModel], error: ValidationError, *, missing: str = "is missing"
) -> str:
    """What is wrong with values that were to be a `model`, as a sentence."""
    problems = error.errors(include_url=False)
    # A misspelt key is reported before the key that is missing because of it.
    problems.sort(key=lambda problem: problem["type"] != "extra_forbidden")
    more = f" ({len(problems) - 1} more after this one.)" if len(problems) > 1 else ""
    return f"{_sentence(model, problems[0], missing)}{more}"


def _sentence(model: type[BaseModel], problem: ErrorDetails, missing: str) -> str:
    location = [part for part in problem["loc"] if part != "[key]"]
    dotted = f"`{shortened('.'.join(str(part) for part in location))}`"
    match problem["type"]:
        case "extra_forbidden":
            valid = sorted(_keys_at(model, location[:-1]))
            hint = did_you_mean(str(location[-1]), valid)
            known = f" Valid: {', '.join(valid)}." if valid else ""
            return f"{dotted} is not a key.{hint}{known}"
        case "missing":
            return f"{dotted} {missing}."
        case "value_error":
            message = problem["msg"].removeprefix("Value error, ")
            return f"{dotted}: {message}" if location else message
        case "literal_error" | "enum":
            valid = re.findall(r"'([^']+)'", problem["ctx"]["expected"])
            said = problem["input"]
            hint = did_you_mean(said, valid) if isinstance(said, str) else ""
            return f"{dotted} is not one of {', '.join(valid)}: {_shown(problem)}.{hint}"
        case _:
            expected = problem["msg"].partition(" should ")[2] or problem["msg"]
            return f"{dotted} must {expected}, not {_shown(problem)}."


def _shown(problem: ErrorDetails) -> str:
    value = problem["input"]
    text = " ".join((value if isinstance(value, str) else json.dumps(value)).split())
    return f"`{shortened(text)}`"


def one_of(kind: str, name: str, valid: Sequence[N]) -> N:
    """The valid name that was meant, whatever its case. Raises UnknownName."""
    for known in valid:
        if known.lower() == name.lower():
            return known
    raise UnknownName(kind, name, valid)


def shortened(text: str, most: int = 60) -> str:
    """`text` as a sentence shows a value: of a long one the beginning."""
    return text if len(text) <= most else f"{text[: most - 3]}..."


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
    if origin in (tuple, list) and location:
        return _keys_at(arguments[0], location[1:])
    return []


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun in words: `1 answer`, `1,000 answers`, `2 queries`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def may_be_host(name: str) -> bool:
    """Whether a machine may have this name: whoever looks up one with a label that is empty or has
    more than 63 bytes (RFC 1035) gets a UnicodeError.
    """
    try:
        name.encode("idna")
    except UnicodeError:
        return False
    return True
