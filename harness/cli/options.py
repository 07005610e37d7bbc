"""What the options of several commands share."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, default_name_transform

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
