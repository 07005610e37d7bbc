"""Records: JSON files that this project writes and reads again, each a frozen model with a schema
version.

A record of another version, or with a missing, extra or mistyped field, is one sentence that names
the file and the field. Every field is written, so one that has a default is missed as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from build_engine.errors import ConfigError, EnginebenchError
from build_engine.files import read_json
from build_engine.validation import Frozen, Invalid, validated


class Record(Frozen):
    """A JSON file of our own. `SCHEMA` is raised when a field changes its meaning or goes away."""

    SCHEMA: ClassVar[int]

    schema_version: int

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values, as the file holds them."""
        return self.model_dump(mode="json", by_alias=True)


R = TypeVar("R", bound=Record)


def read_record(path: Path, model: type[R], fault: type[EnginebenchError], remedy: str) -> R:
    """The record in `path`. Raises `fault` (with `remedy`, which says how to get a sound one), and
    FileNotFoundError where there is no such file.
    """
    content = read_json(path, fault, remedy)
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int:
        raise fault(
            f"{path} has no `schema_version` that is a whole number, so it is no record of ours; "
            f"{remedy}."
        )
    if version != model.SCHEMA:
        newer = version > model.SCHEMA
        raise fault(
            f"{path} was written by {'a newer' if newer else 'an older'} enginebench "
            f"(schema_version {version}, this one reads {model.SCHEMA}); "
            f"{'update enginebench' if newer else remedy}."
        )
    try:
        record = validated(model, content)
        if lacking := _lacking(record.to_json(), content):
            raise Invalid(f"`{lacking}` is missing.")
    except (Invalid, ConfigError) as problem:  # ConfigError: of a value that configs have, too
        raise fault(f"{path}: {problem} {remedy[:1].upper()}{remedy[1:]}.") from None
    return record


def _lacking(written: Any, found: Any) -> str | None:
    """The dotted path of the first key that `written` has and `found` has not."""
    if isinstance(written, dict) and isinstance(found, dict):
        for key, value in written.items():
            if key not in found:
                return str(key)
            if below := _lacking(value, found[key]):
                return f"{key}.{below}"
    if isinstance(written, list) and isinstance(found, list):
        for number, (value, other) in enumerate(zip(written, found, strict=False)):
            if below := _lacking(value, other):
                return f"{number}.{below}"
    return None
