"""What is known of a point before its engine is there, as digests: by them a study that goes on
knows which of its points are the same.

The folder of a run is named by a digest that knows more (`turns.py`).
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from build_engine.config import apply_overrides
from build_engine.recipe import load_recipe
from build_engine.store.sealed import content_key
from build_engine.store.spec import SHORT_KEY_LEN
from harness.machine.facts import library_versions
from harness.rules.rounds import load_round

if TYPE_CHECKING:
    from harness.rules.workload import Workload
    from harness.runs.choice import RunChoice
    from harness.runs.engine_choice import EngineChoice


def engine_digest(choice: EngineChoice) -> str:
    """Of all that an engine is chosen by, but for the model: of a recipe what it says, changed as
    asked. Raises UnknownName and ConfigError.
    """
    recipe = apply_overrides(load_recipe(choice.recipe), choice.recipe_settings)
    said = {"model": None, "set": None, "recipe": recipe.rules.model_dump(mode="json")}
    return _digest(asdict(choice) | said)


def run_digest(choice: RunChoice, workload: Workload) -> str:
    """Of what is asked of an engine, by which libraries; `workload` is as the choice changes it."""
    said = {
        "workload": workload.model_dump(mode="json"),
        "round": load_round(choice.round).model_dump(mode="json"),
    }
    return _digest([asdict(choice) | said, library_versions()])


def rate_digest(workload: Workload, dataset: str | None, target: str) -> str:
    """Of what a rate is chosen for."""
    return _digest([workload.model_dump(mode="json"), dataset, target])


def _digest(content: object) -> str:
    return content_key(content)[:SHORT_KEY_LEN]
