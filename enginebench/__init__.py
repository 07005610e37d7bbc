"""Compile Llama checkpoints into quantised engines, and measure them with MLPerf LoadGen.

    import enginebench

    engine = enginebench.build("newsbrief", "int8_wo")
    run = enginebench.run(engine, "Offline", output="results/first", count=100)
    for mode, test in run.record.tests.begun.items():
        print(mode, test.verdict.sentence)

    again = enginebench.load_run("results/first")

What the command line can do and has no function here is in `build_engine`, `runtime` and `harness`;
only the names of this module are promised to stay. A mistake of the caller, or of the machine, is a
subclass of `EnginebenchError`: one sentence, with the remedy. Importing this package loads nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from build_engine.errors import (
        BuildFailed,
        CheckpointError,
        ConfigError,
        DatasetError,
        EnginebenchError,
        EngineDied,
        EngineError,
        EnvironmentFault,
        Interrupted,
        MissingLibrary,
        NotPacked,
        OutputError,
        RecipeRefused,
        ResultProblem,
        RunExists,
        RunFailed,
        UnknownName,
        UsageError,
    )
    from build_engine.store.engine import Engine
    from enginebench.api import build, load_run, run
    from harness.progress import LineProgress, Progress
    from harness.runs.run import Run

__all__ = [
    "BuildFailed",
    "CheckpointError",
    "ConfigError",
    "DatasetError",
    "Engine",
    "EngineDied",
    "EngineError",
    "EnginebenchError",
    "EnvironmentFault",
    "Interrupted",
    "LineProgress",
    "MissingLibrary",
    "NotPacked",
    "OutputError",
    "Progress",
    "RecipeRefused",
    "ResultProblem",
    "Run",
    "RunExists",
    "RunFailed",
    "UnknownName",
    "UsageError",
    "build",
    "load_run",
    "run",
]

_HOMES = {
    "Engine": "build_engine.store.engine",
    "LineProgress": "harness.progress",
    "Progress": "harness.progress",
    "Run": "harness.runs.run",
    "build": "enginebench.api",
    "load_run": "enginebench.api",
    "run": "enginebench.api",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("enginebench")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES.get(name, "build_engine.errors")), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
