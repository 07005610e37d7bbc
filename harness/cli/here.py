"""Whether a command that is told next would be refused on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from build_engine.errors import EnvironmentFault
from harness.dataset.sources.bundled import NAME as BUNDLED
from harness.runs.engine_choice import EngineChoice

if TYPE_CHECKING:
    from harness.cli.output import Output

TRIED = ("--model", BUNDLED, "--recipe", "int8_wo")
"""The engine that is built first where nobody says which."""


def builds_here(engine: EngineChoice) -> bool:
    """Whether this machine has what builds such engines."""
    try:
        engine.require_here()
    except EnvironmentFault:
        return False
    return True


def next_with_cpu(out: Output, *words: object) -> None:
    """`words` as the next command where the CPU engine can be built, else what says why not."""
    if builds_here(EngineChoice(model=BUNDLED, recipe="int8_wo")):
        out.next(*words)
    else:
        out.next("doctor")
