"""The engine that a time model stands for in a simulated run: planned, and never built."""

from __future__ import annotations

from build_engine.recipe import RecipeRules
from build_engine.store.limits import EngineLimits
from build_engine.validation import Frozen, Name, Text

NO_ACCURACY = "a time model writes no text"


class SimulatedEngine(Frozen):
    """What was planned. `peaks` and `efficiencies` say where its speed comes from."""

    model: Text
    target: Name
    recipe: RecipeRules
    limits: EngineLimits
    peaks: Text
    efficiencies: Text
