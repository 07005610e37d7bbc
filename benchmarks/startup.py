"""How fast the command line is there, and how fast an engine that exists already is found."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.engines import cpu_engine
from benchmarks.result import Figure, Result, ratios
from build_engine.errors import EnvironmentFault, RunFailed
from harness.progress import NullProgress
from harness.rules.workload import load_workload
from harness.runs.engine_choice import EngineChoice

if TYPE_CHECKING:
    from harness.progress import Progress

HELP_GOAL_MS = 250.0
FIND_GOAL_MS = 10.0
_MODEL = "newsbrief"
_RECIPE = "int8_wo"


def measure(repeats: int, progress: Progress) -> Result:
    """`repeats` starts of `enginebench --help`, each beside one of Python alone."""
    program = Path(sys.executable).with_name("enginebench")
    if not program.exists():
        raise EnvironmentFault(
            f"There is no enginebench beside {sys.executable}; install the project with: "
            "pip install --editable '.[cpu]'"
        )
    cpu_engine(_MODEL, _RECIPE, progress)
    progress.phase(f"startup: {repeats} starts")
    shown: list[tuple[float, float]] = []
    python: list[tuple[float, float]] = []
    for _ in range(repeats):
        python.append(_start([sys.executable, "-c", "pass"]))
        shown.append(_start([str(program), "--help"]))
    build = [str(program), "build", "--model", _MODEL, "--target", "cpu", "--recipe", _RECIPE]
    built = [_start(build) for _ in range(max(3, repeats // 4))]
    return Result(
        title="Start-up",
        figures=(
            Figure("--help, wall", "ms", tuple(w for w, _ in shown), at_most=HELP_GOAL_MS),
            Figure("--help, CPU", "ms", tuple(c for _, c in shown)),
            Figure("python -c pass, wall", "ms", tuple(w for w, _ in python)),
            Figure("--help / python", "", ratios([w for w, _ in shown], [w for w, _ in python])),
            Figure("find a stored engine", "ms", _find_ms(repeats), at_most=FIND_GOAL_MS),
            Figure("build of a stored engine, wall", "ms", tuple(w for w, _ in built)),
        ),
        notes=(
            f"medians of {repeats} processes with warm file caches",
            "find: names to checkpoint digest, key and engine, in a process that has done it once",
        ),
    )


def _find_ms(repeats: int) -> tuple[float, ...]:
    from build_engine.paths import cache_root
    from build_engine.store.store import EngineStore

    workload = load_workload("newsbrief")
    found_ms = []
    for _ in range(repeats + 1):
        started_s = time.perf_counter()
        choice = EngineChoice(model=_MODEL, target="cpu", recipe=_RECIPE)
        spec = choice.spec(workload, NullProgress())
        engine = EngineStore(cache_root()).find(spec)
        found_ms.append((time.perf_counter() - started_s) * 1e3)
        if engine is None:
            raise RunFailed("the engine that was just built is not found")
    return tuple(found_ms[1:])


def _start(command: list[str]) -> tuple[float, float]:
    """Wall and CPU milliseconds of a process, from its start to its end."""
    with tempfile.TemporaryFile() as output:
        started_s = time.perf_counter()
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
            raise RunFailed(f"`{' '.join(command)}` failed: {said[-300:]}")
    return wall_s * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3
