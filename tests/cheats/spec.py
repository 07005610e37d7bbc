"""A backend that cheats in one way: what its executor is made from."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from runtime.spec import EngineFolderSpec


class CheatSpec(EngineFolderSpec):
    """An engine folder with a tokenizer; the honest answers are the references of `dataset`."""

    backend: Literal["cheat"] = "cheat"
    dataset: Path
    cheat: str = "none"
    """One of `CHEATS`."""
    in_one_test: bool = False
    """Cheat in the run's first test only."""
