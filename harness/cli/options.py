"""What the options of several commands share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter, default_name_transform

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from harness.runs.engine_choice import EngineChoice

FIELDS = Parameter(name="*")
"""Makes each field of a dataclass an option of the command that takes it."""

RoundName = Annotated[
    str, Parameter(name="--round", help="The MLPerf round whose LoadGen, seeds and rules apply.")
]
"""`--round`, where it is no field of a choice."""


def option_name(field: str) -> str:
    """The option of a field or parameter: `max_batch_size` is `--max-batch-size`; a unit is said in
    the help, so that `duration_s` is `--duration`.
    """
    return default_name_transform(field.removesuffix("_s"))


def words_of(choice: DataclassInstance) -> Iterator[str]:
    """The options that make a choice again: its fields that are not as they are when left out."""
    for field in fields(choice):
        value = getattr(choice, field.name)
        if value != field.default:
            option = f"--{option_name(field.name)}"
            if isinstance(value, bool):
                yield option
                continue
            for each in value if isinstance(value, tuple) else (value,):
                yield from (option, str(each))


def words_on(engine: EngineChoice, choice: DataclassInstance) -> list[str]:
    """The options that make a choice again, on this engine and with its changes of the workload."""
    changed = (("--set", f"workload.{setting}") for setting in engine.workload_settings)
    return [*engine.options, *(word for pair in changed for word in pair), *words_of(choice)]
