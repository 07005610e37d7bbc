"""A backend as somebody else would add one: what its executor is made from."""

from __future__ import annotations

from typing import Literal

from runtime.spec import EngineFolderSpec


class ToySpec(EngineFolderSpec):
    """An engine folder with the ids of every answer in it."""

    backend: Literal["toy"] = "toy"
    fault: Literal["refuses", "lacks", "hangs", "crashes", "dies"] | None = None
    """What goes wrong: when it starts (refuses, lacks, hangs), at once (crashes: it is killed), or
    after the first answer (dies).
    """
