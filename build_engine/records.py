"""Records: JSON files that this project writes and reads again, each a frozen model with a schema
version.

A record of another version, or with a missing, extra or mistyped field, is one sentence that names
the file and the field.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, TypeVar

from build_engine.errors import EnginebenchError
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
    if not isinstance(version, int) or isinstance(version, bool):
        raise fault(f"{path} has no `schema_version`, so it is no record of ours; {remedy}.")
    if version != model.SCHEMA:
        newer = version > model.SCHEMA
        raise fault(
            f"{path} was written by {'a newer' if newer else 'an older'} enginebench "
            f"(schema_version {version}, this one reads {model.SCHEMA}); "
            f"{'update enginebench' if newer else remedy}."
        )
    try:
        return validated(model, content)
    except Invalid as problem:
        raise fault(f"{path}: {problem} {remedy[:1].upper()}{remedy[1:]}.") from None
